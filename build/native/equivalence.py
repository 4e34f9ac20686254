"""Proves by running them that the parts of a graph between its weights compute what the native kernels compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from build.graph.index import GraphIndex
from build.native.encoder import KernelActivation, NotNative
from build.native.relative_bias import biases_by_distance

TOKENS = 24
"""Of the made-up text: enough for relative positions to differ by more than the first few."""

TOLERANCE = 1e-4
"""Of sums in fp32, on values of about 1."""

GRID = np.linspace(-20, 20, 1601, dtype=np.float32)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AttentionShape:
    """``width``: of all heads together; ``relative_bias``: the name of a table by buckets."""

    width: int
    heads: int
    relative_bias: str | None


def _gelu(x: Floats) -> Floats:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def _gelu_tanh(x: Floats) -> Floats:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


FUNCTIONS: dict[KernelActivation, Callable[[Floats], Floats]] = {
    KernelActivation.GELU: _gelu,
    KernelActivation.GELU_TANH: _gelu_tanh,
    KernelActivation.RELU: lambda x: np.maximum(x, 0),
    KernelActivation.SILU: lambda x: x / (1 + np.exp(-x)),
    KernelActivation.TANH: np.tanh,
    KernelActivation.NONE: lambda x: x,
}
FUNCTION_TOLERANCE = 5e-6
"""Far less than what lies between GELU and its approximation by tanh, 5e-4."""


def function_of(graph: GraphIndex, given: str, wanted: str) -> KernelActivation | None:
    """The function, component by component, that makes ``wanted`` of ``given``."""
    values = graph.run({given: GRID.reshape(1, 1, -1)}, wanted)
    if values is None or values.shape != (1, 1, len(GRID)):
        return None
    exact = GRID.astype(np.float64)
    near = (
        kind
        for kind, function in FUNCTIONS.items()
        if np.allclose(values[0, 0], function(exact), rtol=0, atol=FUNCTION_TOLERANCE)
    )
    return next(near, None)


def first_position(graph: GraphIndex, indices: str, words: int) -> int:
    """The row of a text's first token in the table of positions. Raises ``NotNative`` where rows do not follow it."""
    rows = graph.run(_ids(words), indices)
    if rows is not None and rows.dtype == np.int64 and rows.size == TOKENS:
        first = int(rows.flat[0])
        if first >= 0 and np.array_equal(rows.ravel(), first + np.arange(TOKENS)):
            return first
    raise NotNative("its positions are not numbered one by one")


def reads_first_type(graph: GraphIndex, indices: str, words: int) -> bool:
    """Whether every token has the type 0 where the graph's input, if there is one, says so."""
    rows = graph.run(_ids(words), indices)
    return rows is not None and not rows.any()


def attention_is_plain(
    graph: GraphIndex, made: Sequence[str], states: Sequence[str], wanted: str, shape: AttentionShape
) -> bool:
    """Whether ``wanted`` is softmax(Q K^T / sqrt(width of a head) + bias) V, head by head, every token seeing all.

    ``made``: the values that hold queries, keys and values; ``states``: those before, whose shape the graph may ask.
    """
    if shape.width % shape.heads:
        return False
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(made) + len(states), 1, TOKENS, shape.width)).astype(np.float32)
    context = graph.run(dict(zip((*made, *states), values, strict=True)) | _ids(1), wanted)
    biases = None if shape.relative_bias is None else biases_by_distance(graph.read(shape.relative_bias), TOKENS)
    expected = _attention(values[: len(made), 0].astype(np.float64), shape.heads, biases)
    return (
        context is not None
        and context.shape == (1, TOKENS, shape.width)
        and np.allclose(context[0], expected, rtol=0, atol=TOLERANCE)
    )


def _attention(qkv: Floats, heads: int, biases: NDArray[np.float32] | None) -> Floats:
    """(3, tokens, width) to (tokens, width); ``biases`` (heads, 2 tokens - 1) by the key's distance."""
    query, key, value = qkv.reshape(3, TOKENS, heads, -1).transpose(0, 2, 1, 3)
    scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
    if biases is not None:
        places = np.arange(TOKENS)
        scores += biases[:, places[np.newaxis, :] - places[:, np.newaxis] + TOKENS - 1]
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    context: Floats = (weights @ value).transpose(1, 0, 2).reshape(TOKENS, -1)
    return context


def _ids(words: int) -> dict[str, NDArray[np.int64]]:
    """A text without padding, as the graph's inputs."""
    shape = (1, TOKENS)
    return {
        # NOTE: the last word of a table; families that count padding have it among the first.
        "input_ids": np.full(shape, words - 1),
        "attention_mask": np.ones(shape, dtype=np.int64),
        "token_type_ids": np.zeros(shape, dtype=np.int64),
    }
