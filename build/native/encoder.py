"""The encoder that the native kernels compute: the names of its weights, and how its parts are connected."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from manifest import NATIVE_DOMAIN, OpSet

NATIVE_OPS = OpSet(NATIVE_DOMAIN, 4)
"""The op set that the native kernels register (docs/kernels.md, "Ops")."""


class NotNative(Exception):
    """Raised for a graph that the native kernels cannot compute; the message is the reason, as part of a sentence."""


class KernelActivation(StrEnum):
    """The activation function of a feed-forward block, by the kernels' name."""

    GELU = "gelu"
    GELU_TANH = "gelu_tanh"
    RELU = "relu"
    SILU = "silu"
    TANH = "tanh"
    NONE = "none"


@dataclass(frozen=True)
class Linear:
    """A linear layer, by the names of its values."""

    input: str
    """The value that is multiplied."""

    matrix: str
    """The initializer of the weights, (in, out)."""

    bias: str
    """The initializer of the bias, (out,)."""


@dataclass(frozen=True)
class LayerNorm:
    """A normalization over channels, by the names of its values."""

    output: str

    gamma: str
    """The scale, (width,): an initializer, or a Constant node's output."""

    beta: str
    """The bias, (width,): an initializer, or a Constant node's output."""

    epsilon: float


@dataclass(frozen=True)
class Embeddings:
    """The embedding tables, by the names of their initializers."""

    word: str
    """The word table, (vocabulary, width)."""

    position: str
    """The position table, (positions, width)."""

    token_type: str | None
    """The table of token types, (types, width); None: the model has none."""

    reads_types: bool
    """Whether the graph has an input of token types. Without it, every token has the type 0."""

    first_position: int
    """The row of a text's first token in the position table."""

    norm: LayerNorm


@dataclass(frozen=True)
class EncoderLayer:
    """A transformer layer: attention and a feed-forward block, each followed by its residual and LayerNorm."""

    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    attention_norm: LayerNorm
    first: Linear
    """The feed-forward block's layer before its activation function."""
    second: Linear
    """The feed-forward block's layer after its activation function."""
    activation: KernelActivation
    output_norm: LayerNorm


@dataclass(frozen=True)
class NativeEncoder:
    """A graph that was checked to consist of these parts and nothing else."""

    embeddings: Embeddings
    layers: tuple[EncoderLayer, ...]
    heads: int
    relative_bias: str | None
    """The initializer of the attention biases, (buckets, heads); None: the model has none."""
