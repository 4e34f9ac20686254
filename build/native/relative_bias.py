"""MPNet's attention biases: from a table by bucket to one by distance, which the native kernels read."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BUCKETS = 32
"""The number of buckets in use; a config's number is only that of the table's rows, some of which may go unused."""

MAX_DISTANCE = 128
"""Distances from here on share the last bucket (transformers, MPNetEncoder.relative_position_bucket)."""


def biases_by_distance(table: NDArray[np.float32], tokens: int) -> NDArray[np.float32]:
    """Convert (buckets, heads) to (heads, 2 ``tokens`` - 1).

    Column d + tokens - 1 is for the distance d, the key's position minus the query's.
    """
    distances = np.arange(1 - tokens, tokens)
    return np.ascontiguousarray(table[buckets(distances)].T)


def buckets(distances: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bucket of each distance (the key's position minus the query's).

    The upper half is for keys after the query. In each half, one half has a bucket for each distance, and the other
    half has buckets of growing width (Raffel et al. 2020, section 2.1).
    """
    half = BUCKETS // 2
    exact = half // 2
    sizes = np.abs(distances)
    # NOTE: in fp32 and in this order, as in the original: at a border between buckets, rounding decides.
    logs = np.log(np.maximum(sizes, 1).astype(np.float32) / np.float32(exact))
    ratio = logs / np.float32(math.log(MAX_DISTANCE / exact))
    wide = exact + (ratio * np.float32(half - exact)).astype(np.int64)
    within = np.where(sizes < exact, sizes, np.minimum(wide, half - 1))
    return np.where(distances > 0, half, 0) + within
