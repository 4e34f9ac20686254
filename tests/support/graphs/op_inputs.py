"""Valid inputs of every native op, by name and in order; tests change some of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.graphs.kernel_ops import Array, random_linear_map

Inputs = dict[str, Array | None]
"""None stands for an input that is left out."""


def floats(*shape: int) -> NDArray[np.float32]:
    """Ones."""
    return np.ones(shape, np.float32)


def linear(k: int = 20, n: int = 24, **changed: Any) -> Inputs:
    rng = np.random.default_rng(1)
    mapping = random_linear_map(rng, k, n)
    inputs = {"x": rng.normal(size=(3, k)).astype(np.float32), **mapping.inputs(), **mapping.scaling_inputs()}
    norms = {"gamma": None, "beta": None, "input_gamma": None, "input_beta": None}
    return {**inputs, "residual": None, **norms, **changed}


def feed_forward(middle: int = 40, **changed: Any) -> Inputs:
    rng = np.random.default_rng(2)
    first, second = random_linear_map(rng, 20, middle), random_linear_map(rng, middle, 20)
    inputs = {"x": rng.normal(size=(3, 20)).astype(np.float32), **first.inputs("1"), **first.scaling_inputs("1")}
    ones = floats(20)
    inputs |= {**second.inputs("2"), "gamma": ones, "beta": ones, **second.scaling_inputs("2")}
    return {**inputs, "input_gamma": None, "input_beta": None, **changed}


def norm_before(k: int) -> Inputs:
    """The norm of an input of k channels."""
    rng = np.random.default_rng(5)
    return {name: rng.normal(size=k).astype(np.float32) for name in ("input_gamma", "input_beta")}


def attention(**changed: Any) -> Inputs:
    return {**attention_inputs(np.random.default_rng(3), [3, 4], 2, 8), **changed}


def some_attention(*rows: int, **changed: Any) -> Inputs:
    """Keys and values of seven tokens, and queries of ``rows``, by default of two."""
    rows = rows or (1, 5)
    given = {"qkv": floats(7, 32), "query": floats(len(rows), 16), "rows": np.array(rows, np.int64)}
    return attention(**{**given, **changed})


def embedding(**changed: Any) -> Inputs:
    return {**embedding_inputs(np.random.default_rng(4), [3, 4], 16), **changed}


def typed_embedding(**changed: Any) -> Inputs:
    return {**embedding_inputs(np.random.default_rng(4), [3, 4], 16, types=True), **changed}


def attention_inputs(rng: np.random.Generator, lengths: list[int], heads: int, width: int, bias: int = 0) -> Inputs:
    """``bias``: how far the relative bias reaches; 0 leaves it out."""
    qkv = rng.normal(size=(sum(lengths), 3 * heads * width)).astype(np.float32)
    relative = rng.normal(size=(heads, 2 * bias - 1)).astype(np.float32) if bias else None
    return {"qkv": qkv, "lengths": np.array(lengths, np.int64), "relative_bias": relative}


def embedding_inputs(
    rng: np.random.Generator,
    lengths: list[int],
    width: int,
    position: bool = True,
    norm: bool = True,
    types: bool = False,
) -> Inputs:
    """Tables of 50 words, of 24 positions, and of 3 types if tokens have ``types``."""

    def normal(*shape: int) -> NDArray[np.float32]:
        return np.asarray(rng.normal(size=shape), np.float32)

    return {
        "ids": rng.integers(0, 50, sum(lengths)),
        "lengths": np.array(lengths, np.int64),
        "word": rng.integers(-127, 128, (50, width), dtype=np.int8),
        "word_scale": rng.uniform(0.001, 0.1, 50).astype(np.float32),
        "position": normal(24, width) if position else None,
        "gamma": normal(width) if norm else None,
        "beta": normal(width) if norm else None,
        "types": rng.integers(0, 3, sum(lengths)) if types else None,
        "token_type": normal(3, width) if types else None,
    }
