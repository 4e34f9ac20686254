"""The encoder that the native kernels compute: the names of its weights, and how its parts are connected."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from manifest import NATIVE_DOMAIN, OpSet

NATIVE_OPS = OpSet(NATIVE_DOMAIN, 7)
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
    QUICK_GELU = "quick_gelu"
    NONE = "none"


class AttentionMask(StrEnum):
    """Which tokens of its text a token attends to, by the kernels' name."""

    NONE = "none"
    """All of them."""

    CAUSAL = "causal"
    """Itself and those before it."""


@dataclass(frozen=True)
class Linear:
    """A linear layer, by the names of its values."""

    input: str
    """The value that is multiplied."""

    matrix: str
    """The initializer of the weights, (in, out)."""

    bias: str | None
    """The initializer of the bias, (out,); None: zeros."""


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

    norm: LayerNorm | None
    """None: the sum is not normalized."""

    output: str
    """The value of the embeddings."""


@dataclass(frozen=True)
class PatchEmbeddings:
    """The embeddings of an image's patches, with one of a class token before them."""

    product: Linear
    """From a patch's pixels, (channels, rows, columns) in a row, to its embedding."""

    side: int
    """Pixels of a patch's side."""

    grid: int
    """Patches of an image's side."""

    table: NDArray[np.float32]
    """What is added to each token, (1 + patches, width). The first row is all that the class token has."""

    norm: LayerNorm

    @property
    def output(self) -> str:
        """The value of the embeddings."""
        return self.norm.output


@dataclass(frozen=True)
class EncoderLayer:
    """A transformer layer: attention and a feed-forward block, each with its residual and a LayerNorm.

    Each norm comes after the residual is added, or where the encoder has them first, before the block's products.
    """

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

    embeddings: Embeddings | PatchEmbeddings
    layers: tuple[EncoderLayer, ...]
    heads: int
    relative_bias: str | None = None
    """The initializer of the attention biases, (buckets, heads); None: the model has none."""
    mask: AttentionMask = AttentionMask.NONE
    norm_first: bool = False
    """Whether norms come before the products of a block, and not after its residual."""
    final_norm: LayerNorm | None = None
    """What follows the last layer of an encoder with norms first."""
    projection: Linear | None = None
    """What follows the final norm; None: nothing."""
