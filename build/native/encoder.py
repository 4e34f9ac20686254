"""Defines what the native kernels need to know of an encoder: names of its weights, and how its parts are joined."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from manifest import NATIVE_DOMAIN, OpSet

NATIVE_OPS = OpSet(NATIVE_DOMAIN, 2)
"""What the native kernels register themselves as (docs/kernels.md, "Ops")."""


class NotNative(Exception):
    """The native kernels cannot compute this graph; the message is the reason, part of a sentence."""


class KernelActivation(StrEnum):
    """What stands between the two products of a feed-forward block; the names are the kernels'."""

    GELU = "gelu"
    GELU_TANH = "gelu_tanh"
    RELU = "relu"
    SILU = "silu"
    TANH = "tanh"
    NONE = "none"


@dataclass(frozen=True)
class Linear:
    """Initializers of a product: ``matrix`` (in, out), ``bias`` (out,); ``activation`` is the value it reads."""

    activation: str
    matrix: str
    bias: str


@dataclass(frozen=True)
class LayerNorm:
    """``output``: the value that it makes. ``gamma`` and ``beta`` (width,) may be held by Constant nodes."""

    output: str
    gamma: str
    beta: str
    epsilon: float


@dataclass(frozen=True)
class Embeddings:
    """Tables by name: ``word`` (vocabulary, width), ``position`` (positions, width), ``token_type`` (types, width).

    Position i of a text takes row ``first_position`` + i; every token has the type 0.
    """

    word: str
    position: str
    token_type: str | None
    first_position: int
    norm: LayerNorm


@dataclass(frozen=True)
class Layer:
    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    attention_norm: LayerNorm
    first: Linear
    second: Linear
    function: KernelActivation
    output_norm: LayerNorm


@dataclass(frozen=True)
class NativeEncoder:
    """A graph that is nothing but this, as was checked. ``relative_bias``: a table (buckets, heads)."""

    embeddings: Embeddings
    layers: tuple[Layer, ...]
    heads: int
    relative_bias: str | None
