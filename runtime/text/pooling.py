"""Pools the token embeddings of one text into one vector, in every mode of sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from manifest import PoolingMode

Array = NDArray[np.float32]

FLOOR = np.float32(1e-9)
"""A divisor below this divides by it, as sentence-transformers' Pooling does."""


def pool(tokens: Array, modes: tuple[PoolingMode, ...], first: int) -> Array:
    """(tokens, hidden) to (modes * hidden,). Tokens before ``first`` are left out; what is left may be none."""
    pooled = [MODES[mode](tokens, min(first, len(tokens))) for mode in modes]
    return pooled[0] if len(pooled) == 1 else np.concatenate(pooled)


def _cls(tokens: Array, first: int) -> Array:
    return tokens[first] if first < len(tokens) else tokens[0]


def _last_token(tokens: Array, first: int) -> Array:
    return tokens[-1] if first < len(tokens) else np.zeros_like(tokens[0])


def _max(tokens: Array, first: int) -> Array:
    return tokens[first:].max(axis=0, initial=-np.inf)


def _mean(tokens: Array, first: int) -> Array:
    kept = tokens[first:]
    # PERF: Python's max() of two numbers is several times faster than numpy's.
    return kept.sum(axis=0, dtype=np.float32) / max(np.float32(len(kept)), FLOOR)


def _mean_sqrt_len(tokens: Array, first: int) -> Array:
    kept = tokens[first:]
    return kept.sum(axis=0, dtype=np.float32) / np.sqrt(np.maximum(np.float32(len(kept)), FLOOR))


def _weighted_mean(tokens: Array, first: int) -> Array:
    """Weighted by the place in the whole text, from 1 on."""
    weights = np.arange(first + 1, len(tokens) + 1, dtype=np.float32)
    return weights @ tokens[first:] / np.maximum(weights.sum(dtype=np.float32), FLOOR)


MODES: dict[PoolingMode, Callable[[Array, int], Array]] = {
    PoolingMode.CLS: _cls,
    PoolingMode.MAX: _max,
    PoolingMode.MEAN: _mean,
    PoolingMode.MEAN_SQRT_LEN: _mean_sqrt_len,
    PoolingMode.WEIGHTED_MEAN: _weighted_mean,
    PoolingMode.LAST_TOKEN: _last_token,
}
