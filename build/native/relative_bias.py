"""Turns MPNet's table of attention biases by bucket into one by distance, as the native kernels read it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BUCKETS = 32
"""How many there are, whatever a config says: its number is only that of the table's rows, of which more go unused."""

FARTHEST = 128
"""The distance from which on all share the last bucket (transformers, MPNetEncoder.relative_position_bucket)."""


def biases_by_distance(table: NDArray[np.float32], tokens: int) -> NDArray[np.float32]:
    """(buckets, heads) to (heads, 2 ``tokens`` - 1): column d + tokens - 1 is for the distance d from query to key."""
    distances = np.arange(1 - tokens, tokens)
    return np.ascontiguousarray(table[buckets(distances)].T)


def buckets(distances: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bucket of each distance (key's position less the query's).

    The upper half is for keys behind the query. In each half, one half has a bucket for each distance, the other
    buckets of growing width (Raffel et al. 2020, section 2.1).
    """
    half = BUCKETS // 2
    exact = half // 2
    far = np.abs(distances)
    # NOTE: in fp32 and in this order, as the original: at a border between buckets the rounding decides.
    ratio = np.log(np.maximum(far, 1).astype(np.float32) / np.float32(exact)) / np.float32(math.log(FARTHEST / exact))
    wide = exact + (ratio * np.float32(half - exact)).astype(np.int64)
    within = np.where(far < exact, far, np.minimum(wide, half - 1))
    return np.where(distances > 0, half, 0) + within
