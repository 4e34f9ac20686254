"""A tower of a CLIP model on its way through a build: exported, matched with the kernels, calibrated, quantized."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoConfig

from build.clip.architectures import ARCHITECTURES
from build.clip.calibration_images import calibration_pixels
from build.clip.export import FORMER_END, FORMER_MODEL, IMAGE, TEXT, export_towers
from build.clip.tokenizer import load_tokenizer, runtime_tokenizer
from build.errors import UnsupportedModel, first_line
from build.graph.external_data import externalize_weights, load_graph
from build.graph.index import GraphIndex
from build.graph.optimize import optimize
from build.model.trust import Trust
from build.native.encoder import NativeEncoder, NotNative, PatchEmbeddings
from build.native.image_matcher import match_image_encoder
from build.native.lowering import native_records, write_native
from build.native.matcher import match_encoder
from build.native.memory import image_memory, native_memory
from build.native.patterns import CLIP_TEXT, CLIP_VISION
from build.native.plan import NativePlan
from build.quantization.calibrate import calibrate
from build.quantization.calibrated import UNCALIBRATED, CalibratedWeights
from build.quantization.calibration_texts import MAX_TOKENS, calibration_ids
from build.quantization.quantize import quantize
from build.quantization.record import WeightRecord
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

    def calibrated_on(self, samples: Sequence[NDArray[Any]], bars: bool) -> Tower:
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
    def records(self) -> tuple[WeightRecord, ...]:
        """How each weight is stored, in the native kernels."""
        if self.native is None:
            return ()
        known = self.calibrated.weight_records
        return tuple(native_records(known, self.native.encoder.embeddings, self.native.graph))

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


@dataclass(frozen=True)
class Towers:
    """What a model's towers are made from: its folder, config and tokenizer."""

    folder: Path
    config: Any
    tokenizer: Tokenizer

    @classmethod
    def of(cls, folder: Path) -> Towers:
        """Raises ``UnsupportedModel`` where config or tokenizer cannot be loaded."""
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            return cls(folder, config, runtime_tokenizer(load_tokenizer(folder)))
        except UnsupportedModel:
            raise
        except Exception as error:  # NOTE: tokenizers raises bare Exception.
            raise UnsupportedModel(f"transformers cannot load the model: {first_line(error)}") from error

    @property
    def end(self) -> int | None:
        """The token whose first occurrence ends a text; None: there is none that every text has."""
        return end_of_texts(self.config, self.tokenizer)

    def export(
        self, work: Path, trust: Trust, native: bool, names: Collection[str] = (TEXT, IMAGE)
    ) -> dict[str, Tower]:
        """The towers ``names`` as graphs in fp32, each below ``work``, matched if they are to be ``native``."""
        exported = export_towers(self.folder, work, trust, names)
        towers = {name: Tower(name, externalize_weights(graph, graph.parent)) for name, graph in exported.items()}
        return {name: tower.matched(self._match(name)) for name, tower in towers.items()} if native else towers

    def calibrate(self, towers: Mapping[str, Tower], bars: bool) -> dict[str, Tower]:
        """The same with weights that are rounded by the error that is measured, where they are native."""
        return {name: tower.calibrated_on(self._samples(tower), bars) for name, tower in towers.items()}

    def _match(self, name: str) -> Callable[[GraphIndex], NativeEncoder]:
        text, vision = self.config.text_config, self.config.vision_config
        if name == IMAGE:
            return lambda index: match_image_tower(index, vision)
        return lambda index: match_text_tower(index, text, self.end)

    def _samples(self, tower: Tower) -> Sequence[NDArray[Any]]:
        if tower.native is None:
            return ()
        if isinstance(patches := tower.native.encoder.embeddings, PatchEmbeddings):
            return calibration_pixels(self.folder, len(patches.table), MAX_TOKENS)
        return calibration_ids(self.tokenizer, (), self.config.text_config.max_position_embeddings)


def match_text_tower(index: GraphIndex, text: Any, end: int | None) -> NativeEncoder:
    """``text``: the tower's config. Raises ``NotNative``."""
    if end is None:
        raise NotNative("its texts do not end with a token that only ends texts")
    return match_encoder(index, CLIP_TEXT, text.num_attention_heads, end=end)


def match_image_tower(index: GraphIndex, vision: Any) -> NativeEncoder:
    """``vision``: the tower's config. Raises ``NotNative``."""
    return match_image_encoder(index, CLIP_VISION, vision.num_attention_heads, vision.image_size)


def end_of_texts(config: Any, tokenizer: Tokenizer) -> int | None:
    """The token whose first occurrence ends a text; None: there is none that every text has.

    ``config``: the model's.
    """
    if ARCHITECTURES[config.model_type].pads:
        return None
    end: int | None = config.text_config.eos_token_id
    if config.model_type == FORMER_MODEL and end == FORMER_END:
        end = max(tokenizer.get_vocab().values(), default=None)
    return end if end in tokenizer.encode("").ids[-1:] else None
