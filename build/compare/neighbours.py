"""Finds vectors' nearest neighbours by cosine, and how many of them two searches have in common. Pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEPS = 1_000_000
"""Cosines are told apart in steps of a millionth: float32 holds no more of a sum over hundreds of components."""

BLOCK_CELLS = 1 << 22
"""Cosines in memory at once: some 60 MB with all that is made of them, however many texts there are."""


def neighbours(queries: NDArray[np.float32], stored: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """(texts, k): the rows of ``stored`` (texts, dim) with the highest cosine to each row of ``queries`` (texts, dim).

    Both have the same texts in the same order, and no text is a neighbour of itself. Of equal ones the first counts;
    within a row they come in no order. ``k`` is less than the number of texts.
    """
    texts = len(stored)
    seeking, found = unit(queries), unit(stored)
    nearest = np.empty((texts, k), dtype=np.int64)
    block = max(1, BLOCK_CELLS // texts)
    for start in range(0, texts, block):
        rows = np.arange(start, min(start + block, texts))
        # Steps and place in one number, so that no two are equal and any sort gives the same.
        keys = np.rint((seeking[rows] @ found.T) * STEPS).astype(np.int64) * texts - np.arange(texts)
        keys[rows - start, rows] = np.iinfo(np.int64).min
        nearest[rows] = np.argpartition(keys, texts - k, axis=1)[:, texts - k :]
    return nearest


def shared(left: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """The share of neighbours, both (texts, k), that two searches have in common, 0 to 1."""
    return float((left[:, :, np.newaxis] == right[:, np.newaxis, :]).any(axis=2).mean())


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row divided by its length; a zero vector stays zero."""
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    return (exact / np.where(lengths > 0, lengths, 1)).astype(np.float32)
