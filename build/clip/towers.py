"""A tower of a CLIP model on its way through a build: exported, matched with the kernels, calibrated, quantized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tokenizers import Tokenizer

from build.clip.export import FORMER_END
from build.graph.external_data import load_graph
from build.graph.index import GraphIndex
from build.graph.optimize import optimize
from build.native.encoder import NativeEncoder, NotNative, PatchEmbeddings
from build.native.image_matcher import match_image_encoder
from build.native.lowering import write_native
from build.native.matcher import match_encoder
from build.native.memory import image_memory, native_memory
from build.native.patterns import CLIP_TEXT, CLIP_VISION
from build.native.plan import NativePlan
from build.quantization.calibrate import calibrate
from build.quantization.calibrated import UNCALIBRATED, CalibratedWeights
from build.quantization.quantize import quantize
from build.quantization.scheme import NATIVE
from manifest import WorkingMemory


@dataclass(frozen=True)
class Tower:
    """One of the two; each stage returns it with a new graph or more facts."""

    name: str
    """Of its graph in the bundle."""
    graph: Path
    """It has a directory of its own."""
    native: NativePlan | None = None
    """How the native kernels compute it; None: onnxruntime's own do."""
    stock_reason: str | None = None
    """Why the native kernels that were requested do not compute it, as part of a sentence."""
    calibrated: CalibratedWeights = UNCALIBRATED

    def matched(self, match: Callable[[GraphIndex], NativeEncoder]) -> Tower:
        """The same, matched with the native kernels by ``match``, or with the reason why not."""
        index = GraphIndex(load_graph(self.graph), self.graph.parent)
        try:
            return replace(self, native=NativePlan(index, match(index)))
        except NotNative as reason:
            return replace(self, stock_reason=str(reason))

    def calibrate(self, samples: Sequence[NDArray[Any]], bars: bool) -> Tower:
        """The same with weights that are rounded by the error on ``samples``, if it is native."""
        if self.native is None:
            return self
        return replace(self, calibrated=calibrate(self.graph, self.graph.parent, samples, NATIVE, bars))

    def quantize(self) -> Tower:
        """The same in 8 bits: in the native kernels' ops if they compute it, and otherwise in onnxruntime's."""
        work = self.graph.parent
        if self.native is None:
            return replace(self, graph=quantize(self.graph, work, self.calibrated))
        written = write_native(self.native.graph, self.native.encoder, self.calibrated, work, one_token=True)
        return replace(self, graph=written)

    def optimize(self) -> Tower:
        """The same after onnxruntime's own rewrites, if it is a graph of its own ops."""
        return self if self.native is not None else replace(self, graph=optimize(self.graph, self.graph.parent))

    @property
    def memory(self) -> WorkingMemory | None:
        """What a run in the native kernels takes; None: what the description says."""
        return None if self.native is None else native_memory(self.native.encoder, self.native.graph)

    @property
    def image_memory(self) -> int | None:
        """What a run over one image takes in the native kernels; None: what the description says."""
        if self.native is None or not isinstance(patches := self.native.encoder.embeddings, PatchEmbeddings):
            return None
        return image_memory(self.native.encoder, patches, self.native.graph)


def match_text_tower(index: GraphIndex, text: Any, end: int | None) -> NativeEncoder:
    """``text``: the tower's config. Raises ``NotNative``."""
    if end is None:
        raise NotNative("its texts do not end with a token that only ends texts")
    return match_encoder(index, CLIP_TEXT, text.num_attention_heads, end=end)


def match_image_tower(index: GraphIndex, vision: Any) -> NativeEncoder:
    """``vision``: the tower's config. Raises ``NotNative``."""
    return match_image_encoder(index, CLIP_VISION, vision.num_attention_heads, vision.image_size)


def end_of_texts(config_end: int, tokenizer: Tokenizer) -> int | None:
    """The token whose first occurrence ends a text; None: there is none that every text has.

    ``config_end``: what the config says, which in older models is not the end: there, it is the largest of ids.
    """
    end = tokenizer.encode("").ids[-1:]
    largest = max(tokenizer.get_vocab().values(), default=None)
    return end[0] if end == [largest if config_end == FORMER_END else config_end] else None
