"""Numerical checks that the parts of a graph between its weights compute what the native kernels compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from build.graph.index import GraphIndex
from build.native.encoder import AttentionMask, KernelActivation, NotNative
from build.native.relative_bias import biases_by_distance

TOKENS = 24
"""Checks run on a text of this length, which is enough for relative positions to fall into several buckets."""

ATTENTION_TOLERANCE = 1e-4
"""Attention, which is summed up in fp32 and whose values are about 1, may differ by this much."""

GRID = np.linspace(-20, 20, 1601, dtype=np.float32)
"""Activation functions are compared at these points."""

ACTIVATION_TOLERANCE = 5e-6
"""Activation functions may differ by this much: far less than GELU and its approximation by tanh do, 5e-4."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AttentionShape:
    """What the attention of every layer has in common."""

    width: int
    """The channels of all heads together."""

    heads: int

    relative_bias: str | None
    """The initializer of the biases by bucket; None: attention has none."""

    mask: AttentionMask = AttentionMask.NONE


def _gelu(x: Floats) -> Floats:
    erf: Floats = np.vectorize(math.erf)(x / math.sqrt(2))
    return 0.5 * x * (1 + erf)


def _gelu_tanh(x: Floats) -> Floats:
    tanh: Floats = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + tanh)


ACTIVATIONS: dict[KernelActivation, Callable[[Floats], Floats]] = {
    KernelActivation.GELU: _gelu,
    KernelActivation.GELU_TANH: _gelu_tanh,
    KernelActivation.RELU: lambda x: np.maximum(x, 0),
    KernelActivation.SILU: lambda x: x / (1 + np.exp(-x)),
    KernelActivation.TANH: np.tanh,
    KernelActivation.QUICK_GELU: lambda x: x / (1 + np.exp(-1.702 * x)),
    KernelActivation.NONE: lambda x: x,
}


def activation_matching(graph: GraphIndex, source: str, target: str) -> KernelActivation | None:
    """Return the activation function that computes ``target`` from ``source``, or None if the kernels lack it."""
    values = graph.run({source: GRID.reshape(1, 1, -1)}, target)
    if values is None or values.shape != (1, 1, len(GRID)):
        return None
    exact = GRID.astype(np.float64)
    matching = (
        activation
        for activation, function in ACTIVATIONS.items()
        if np.allclose(values[0, 0], function(exact), rtol=0, atol=ACTIVATION_TOLERANCE)
    )
    return next(matching, None)


def first_position(graph: GraphIndex, indices: str, vocabulary: int, positions: int) -> int:
    """Return the row of a text's first token in the position table, which has ``positions`` rows.

    Raises ``NotNative`` if the rows of the next tokens do not follow it.
    """
    tokens = min(TOKENS, positions)
    rows = graph.run(_inputs(vocabulary, tokens), indices)
    if rows is not None and rows.dtype == np.int64 and rows.size == tokens:
        first = int(rows.flat[0])
        if first >= 0 and np.array_equal(rows.ravel(), first + np.arange(tokens)):
            return first
    raise NotNative("its positions are not consecutive")


def reads_first_type(graph: GraphIndex, indices: str, vocabulary: int) -> bool:
    """Tell whether every token has the type 0, given zeros for the graph's input of token types, if it has one."""
    rows = graph.run(_inputs(vocabulary), indices)
    return rows is not None and not rows.any()


def reads_ids(graph: GraphIndex, value: str, vocabulary: int) -> bool:
    """Tell whether a value is the ids of the tokens."""
    ids = np.arange(TOKENS)[np.newaxis] % vocabulary
    found = graph.run(_inputs(vocabulary) | {"input_ids": ids}, value)
    return found is not None and np.array_equal(found, ids)


def ends_with(graph: GraphIndex, value: str, target: str, width: int, end: int | None) -> bool:
    """Tell whether ``target`` is ``value``, (1, tokens, width), of a text that has ``end`` as its last token alone."""
    if end is None:
        return False
    others = [token for token in range(TOKENS) if token != end]
    ids = np.array([[*others[: TOKENS - 1], end]])
    values = np.random.default_rng(0).normal(size=(1, TOKENS, width)).astype(np.float32)
    found = graph.run({value: values, "input_ids": ids}, target)
    return found is not None and np.array_equal(found, values)


def attention_matches(
    graph: GraphIndex, qkv: Sequence[str], states: Sequence[str], target: str, shape: AttentionShape
) -> bool:
    """Tell whether ``target`` is softmax(Q K^T / sqrt(width of a head) + bias) V in each head, under the shape's mask.

    ``qkv`` are the values of queries, keys and values. ``states`` are earlier values, whose shape the graph may read.
    """
    if shape.width % shape.heads:
        return False
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(qkv) + len(states), 1, TOKENS, shape.width)).astype(np.float32)
    context = graph.run(dict(zip((*qkv, *states), values, strict=True)) | _inputs(1), target)
    biases = None if shape.relative_bias is None else biases_by_distance(graph.read(shape.relative_bias), TOKENS)
    expected = _attention(values[: len(qkv), 0].astype(np.float64), shape.heads, biases, shape.mask)
    return (
        context is not None
        and context.shape == (1, TOKENS, shape.width)
        and np.allclose(context[0], expected, rtol=0, atol=ATTENTION_TOLERANCE)
    )


def _attention(qkv: Floats, heads: int, biases: NDArray[np.float32] | None, mask: AttentionMask) -> Floats:
    """Compute attention, (3, tokens, width) to (tokens, width).

    ``biases``: (heads, 2 tokens - 1), by the key's distance from the query.
    """
    query, key, value = qkv.reshape(3, TOKENS, heads, -1).transpose(0, 2, 1, 3)
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
    if biases is not None:
        positions = np.arange(TOKENS)
        scores += biases[:, positions[np.newaxis, :] - positions[:, np.newaxis] + TOKENS - 1]
    if mask is AttentionMask.CAUSAL:
        scores += np.triu(np.full((TOKENS, TOKENS), -np.inf), 1)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    context: Floats = (weights @ value).transpose(1, 0, 2).reshape(TOKENS, -1)
    return context


def _inputs(vocabulary: int, tokens: int = TOKENS) -> dict[str, NDArray[np.int64]]:
    """Return the graph's inputs for a text without padding."""
    shape = (1, tokens)
    return {
        # NOTE: the last word of the table: padding, which has no position in some families, is among the first words.
        "input_ids": np.full(shape, vocabulary - 1),
        "attention_mask": np.ones(shape, dtype=np.int64),
        "token_type_ids": np.zeros(shape, dtype=np.int64),
    }
