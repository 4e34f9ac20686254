"""Enlarges a part of one side of an image, to the bit as if the whole side had been enlarged.

The filter is Keys' cubic convolution with a = -0.5 (https://doi.org/10.1109/TASSP.1981.1163711). As in Pillow, weights
have 22 bits behind the point, and results are rounded to 8 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.images.geometry import SUPPORT, Span

WEIGHT_BITS = 22
TAPS = 2 * SUPPORT + 1


def enlarge(part: NDArray[np.uint8], span: Span) -> NDArray[np.uint8]:
    """What is kept of the side along the first axis, (kept, …); ``part``: the pixels ``span.read`` of it."""
    scale = span.length / span.resized
    centers = (span.offset + np.arange(span.kept) + 0.5) * scale
    first = np.maximum(np.floor(centers - SUPPORT + 0.5).astype(np.int64), 0)
    end = np.minimum(np.floor(centers + SUPPORT + 0.5).astype(np.int64), span.length)
    taps = first[:, np.newaxis] + np.arange(TAPS)
    weights = np.where(taps < end[:, np.newaxis], _cubic(taps - centers[:, np.newaxis] + 0.5), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    fixed = np.rint(weights * (1 << WEIGHT_BITS)).astype(np.int64)
    read = span.read
    pixels = part[np.clip(taps - read.start, 0, len(read) - 1)].astype(np.int64)
    sums = np.einsum("kt,kt...->k...", fixed, pixels) + (1 << (WEIGHT_BITS - 1))
    return np.clip(sums >> WEIGHT_BITS, 0, 255).astype(np.uint8)


def _cubic(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(distances)
    near = ((1.5 * x - 2.5) * x) * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < SUPPORT, far, 0))
