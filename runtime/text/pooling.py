"""Pools the token embeddings of one text into one vector, in every mode of sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, repeat

import numpy as np
from numpy.typing import NDArray

from manifest import PoolingMode

Array = NDArray[np.float32]

FLOOR = np.float32(1e-9)
"""A smaller divisor is replaced by this, as in sentence-transformers' Pooling."""


def pool(tokens: Array, modes: tuple[PoolingMode, ...], skip: int) -> Array:
    """Pool (tokens, hidden) to (modes * hidden,). The first ``skip`` tokens do not count; there may be no others."""
    pooled = [MODES[mode](tokens, min(skip, len(tokens))) for mode in modes]
    return pooled[0] if len(pooled) == 1 else np.concatenate(pooled)


def pool_each(tokens: Array, lengths: Sequence[int], modes: tuple[PoolingMode, ...], skip: int) -> Array:
    """Pool (sum of lengths, hidden) to (texts, modes * hidden): each text with the bits that it has alone.

    There must be a text.
    """
    if modes != (PoolingMode.MEAN,):
        parts = zip(lengths, accumulate(lengths), strict=True)
        return np.stack([pool(tokens[end - length : end], modes, skip) for length, end in parts])
    # PERF: after a run of the model, all of Python is slow. By position, arguments take half of the time.
    sums: Array = np.empty((len(lengths), tokens.shape[1]), np.float32)
    add, start = np.add.reduce, 0
    for row, length in zip(sums, lengths, strict=True):
        end = start + length
        add(tokens[start + min(skip, length) : end], 0, np.float32, row)
        start = end
    counts: Array = np.asarray([[max(0, length - skip)] for length in lengths], np.float32)
    floored: Array = np.maximum(counts, FLOOR, dtype=np.float32)
    return sums / floored


def reads_one_token(modes: tuple[PoolingMode, ...]) -> bool:
    """Whether ``only_token`` may find a token."""
    return modes in ((PoolingMode.CLS,), (PoolingMode.LAST_TOKEN,))


def only_token(modes: tuple[PoolingMode, ...], skip: int, tokens: int) -> int | None:
    """Return the only token of a text that pooling reads; None: it reads several, or none.

    Pooling that token alone, with nothing to skip, gives the same vector.
    """
    if modes == (PoolingMode.CLS,):
        return skip if skip < tokens else 0
    return tokens - 1 if modes == (PoolingMode.LAST_TOKEN,) and skip < tokens else None


def is_mean(modes: tuple[PoolingMode, ...]) -> bool:
    """Whether pooling gives the mean of ``mean_of``'s tokens."""
    return modes in ((PoolingMode.MEAN,), (PoolingMode.CLS,), (PoolingMode.LAST_TOKEN,))


def mean_of(modes: tuple[PoolingMode, ...], skip: int, tokens: int) -> tuple[int, int]:
    """Return the first token of a text that the mean is of, and the one after the last.

    The mean of one token is its embedding, and that of no tokens is zero.
    """
    token = only_token(modes, skip, tokens)
    return (min(skip, tokens), tokens) if token is None else (token, token + 1)


def means_of(modes: tuple[PoolingMode, ...], skip: int, lengths: Sequence[int]) -> Sequence[tuple[int, int]]:
    """Return the same for each of several texts of these lengths."""
    if skip == 0 and modes == (PoolingMode.MEAN,):
        return list(zip(repeat(0), lengths))
    return [mean_of(modes, skip, length) for length in lengths]


def _cls(tokens: Array, skip: int) -> Array:
    return tokens[skip] if skip < len(tokens) else tokens[0]


def _last_token(tokens: Array, skip: int) -> Array:
    return tokens[-1] if skip < len(tokens) else np.zeros_like(tokens[0])


def _max(tokens: Array, skip: int) -> Array:
    return tokens[skip:].max(axis=0, initial=-np.inf)


def _mean(tokens: Array, skip: int) -> Array:
    kept = tokens[skip:]
    # PERF: Python's max() of two numbers is several times faster than numpy's, and sum() is a wrapper of reduce().
    return np.add.reduce(kept, axis=0, dtype=np.float32) / max(np.float32(len(kept)), FLOOR)


def _mean_sqrt_len(tokens: Array, skip: int) -> Array:
    kept = tokens[skip:]
    return kept.sum(axis=0, dtype=np.float32) / np.sqrt(np.maximum(np.float32(len(kept)), FLOOR))


def _weighted_mean(tokens: Array, skip: int) -> Array:
    """The weight of a token is its position in the whole text, from 1 on."""
    weights = np.arange(skip + 1, len(tokens) + 1, dtype=np.float32)
    return weights @ tokens[skip:] / np.maximum(weights.sum(dtype=np.float32), FLOOR)


MODES: dict[PoolingMode, Callable[[Array, int], Array]] = {
    PoolingMode.CLS: _cls,
    PoolingMode.MAX: _max,
    PoolingMode.MEAN: _mean,
    PoolingMode.MEAN_SQRT_LEN: _mean_sqrt_len,
    PoolingMode.WEIGHTED_MEAN: _weighted_mean,
    PoolingMode.LAST_TOKEN: _last_token,
}
