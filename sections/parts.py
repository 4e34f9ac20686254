"""The parts that sections of several kinds are made of: graphs, pooling, layers, encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sections.base import BundleError, require_name, require_positive

HEAD_FILE = "head.npz"
"""The tensors of the layers after pooling, in models that have such layers (numpy's format, nothing pickled)."""


class PoolingMode(StrEnum):
    """How token embeddings become one vector; the names are those of sentence-transformers."""

    CLS = "cls"
    MAX = "max"
    MEAN = "mean"
    MEAN_SQRT_LEN = "mean_sqrt_len_tokens"
    WEIGHTED_MEAN = "weightedmean"
    LAST_TOKEN = "lasttoken"


class LayerKind(StrEnum):
    DENSE = "dense"
    LAYER_NORM = "layer_norm"
    NORMALIZE = "normalize"
    TRUNCATE = "truncate"


LAYER_FIELDS = {
    LayerKind.DENSE: ("weight", "activation"),
    LayerKind.LAYER_NORM: ("weight", "bias"),
    LayerKind.NORMALIZE: (),
    LayerKind.TRUNCATE: ("size",),
}
"""The fields of a ``Layer`` that each kind needs."""


class Activation(StrEnum):
    IDENTITY = "identity"
    TANH = "tanh"
    RELU = "relu"
    GELU = "gelu"
    SILU = "silu"
    SIGMOID = "sigmoid"


class Layout(StrEnum):
    """How the texts of a batch are laid out in a graph's inputs and output."""

    PADDED = "padded"
    """Inputs and output are (texts, tokens, …), as in transformers' own exports."""

    PACKED = "packed"
    """Texts are concatenated: ids (tokens,) and lengths (texts,) in, (tokens, width) out."""


@dataclass(frozen=True)
class OpSet:
    """Ops besides ONNX's own that a graph is made of; the runtime has them in a library."""

    domain: str
    version: int


@dataclass(frozen=True)
class Graph:
    """One ONNX graph that ends at token embeddings."""

    file: str
    weights: str
    """The file of its weights, as external data."""
    inputs: tuple[str, ...]
    """The names of its inputs, in order."""
    output: str
    """The name of the output to read."""
    layout: Layout
    ops: OpSet | None
    """None for a graph of ONNX's own ops, which onnxruntime runs by itself."""

    def check(self, field: str) -> None:
        """Raises ``BundleError`` where layout and ops contradict each other."""
        if self.ops is None:
            return
        if self.layout is not Layout.PACKED:
            raise BundleError(f"{field}.layout must be {Layout.PACKED} for a graph with ops, not {self.layout}")
        require_positive(f"{field}.ops.version", self.ops.version)


@dataclass(frozen=True)
class Pooling:
    """The pooled vectors of ``modes`` are concatenated. Without ``include_prompt``, the prompt's tokens are skipped."""

    modes: tuple[PoolingMode, ...]
    include_prompt: bool

    @property
    def reads_one_token(self) -> bool:
        """Whether the vector depends on the embedding of one token alone."""
        return self.modes in {(PoolingMode.CLS,), (PoolingMode.LAST_TOKEN,)}


@dataclass(frozen=True)
class Layer:
    """A layer after pooling.

    dense: ``activation(weight @ x + bias)``, weight (out, in). layer_norm: weight and bias (width,). normalize: to unit
    length. truncate: the first ``size`` components. What a kind does not use is None.
    """

    kind: LayerKind
    weight: str | None = None
    """A key in ``head.npz``."""
    bias: str | None = None
    """A key in ``head.npz``."""
    activation: Activation | None = None
    size: int | None = None

    def check(self, field: str) -> None:
        """Raises ``BundleError`` for a field that this kind of layer needs and does not have."""
        if missing := sorted(name for name in LAYER_FIELDS[self.kind] if getattr(self, name) is None):
            raise BundleError(f"{field}.{missing[0]} is missing")


def normalizes(layers: Sequence[Layer]) -> bool:
    """Whether the layers give vectors unit length, unless they are truncated after that."""
    kinds = [layer.kind for layer in layers if layer.kind is not LayerKind.TRUNCATE]
    return kinds[-1:] == [LayerKind.NORMALIZE]


@dataclass(frozen=True)
class WorkingMemory:
    """The most bytes that a run over n tokens takes besides weights: ``fixed`` + ``per_token`` n + ``per_pair`` n^2."""

    fixed: int
    per_token: int
    per_pair: int

    def of(self, tokens: int) -> int:
        return self.fixed + self.per_token * tokens + self.per_pair * tokens * tokens


@dataclass(frozen=True)
class Encoder:
    """One path from a text to its vector."""

    architecture: str
    tokenizer: str
    """A file of the bundle."""
    graph: str
    """A key in the section's ``graphs``."""
    width: int
    """Components of a token embedding."""
    max_tokens: int
    """The most tokens of a text, with special tokens and the prompt's."""
    pooling: Pooling
    layers: tuple[Layer, ...]
    prompt_tokens: dict[str, int]
    """How many leading tokens, special ones included, pooling skips for each prompt, by the prompt's name."""
    memory: WorkingMemory

    @property
    def normalizes(self) -> bool:
        """Whether vectors have unit length, unless they are truncated after that."""
        return normalizes(self.layers)

    def files(self) -> set[str]:
        """Its tokenizer, and the tensors of its layers where they have some."""
        return {self.tokenizer} | ({HEAD_FILE} if any(layer.weight is not None for layer in self.layers) else set())

    def check(self, field: str, graphs: Mapping[str, Graph], prompts: Mapping[str, str]) -> None:
        """Raises ``BundleError`` for a reference that leads nowhere or a value out of range."""
        require_name(f"{field}.graph", self.graph, graphs)
        for prompt in self.prompt_tokens:
            require_name(f"{field}.prompt_tokens", prompt, prompts)
        require_positive(f"{field}.max_tokens", self.max_tokens)
        require_positive(f"{field}.width", self.width)
        if not self.pooling.modes:
            raise BundleError(f"{field}.pooling.modes is empty")
        for index, layer in enumerate(self.layers):
            layer.check(f"{field}.layers[{index}]")
