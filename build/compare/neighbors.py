"""Finds nearest neighbors by cosine, and the share of them that two searches have in common. Pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COSINE_LEVELS = 1_000_000
"""Cosines are rounded to a millionth: float32 resolves no more of a sum over hundreds of components."""

BLOCK_CELLS = 1 << 22
"""This many cosines are in memory at once: some 60 MB with all intermediate results, for any number of texts."""


def neighbors(queries: NDArray[np.float32], stored: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The rows of ``stored`` (texts, dim) with the highest cosine to each row of ``queries`` (texts, dim): (texts, k).

    Both have the same texts in the same order, and no text is a neighbor of itself. Of equal neighbors the first one
    counts; a row is in no particular order. ``k`` is less than the number of texts.
    """
    texts = len(stored)
    seeking, found = unit(queries), unit(stored)
    nearest = np.empty((texts, k), dtype=np.int64)
    block = max(1, BLOCK_CELLS // texts)
    for start in range(0, texts, block):
        rows = np.arange(start, min(start + block, texts))
        # Level and index in one number, so that no two are equal and any sort gives the same result.
        keys = np.rint((seeking[rows] @ found.T) * COSINE_LEVELS).astype(np.int64) * texts - np.arange(texts)
        keys[rows - start, rows] = np.iinfo(np.int64).min
        nearest[rows] = np.argpartition(keys, texts - k, axis=1)[:, texts - k :]
    return nearest


def shared(left: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """The share of neighbors, both (texts, k), that two searches have in common, 0 to 1."""
    return float((left[:, :, np.newaxis] == right[:, np.newaxis, :]).any(axis=2).mean())


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row divided by its length; a zero vector stays zero."""
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return (exact / np.where(lengths > 0, lengths, 1)).astype(np.float32)
