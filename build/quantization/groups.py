"""Sizes of the groups of input channels that share a scale in the native kernels (docs/kernels.md)."""

from __future__ import annotations

import math

MAX_GROUP_SIZE = 320
"""The largest number of input channels that share a scale, of activations and of weights."""

GROUP_MULTIPLE = 64
"""All groups but the last have a multiple of this many channels: what a row of tile registers holds."""


def channel_groups(inputs: int) -> tuple[int, ...]:
    """Split ``inputs`` neighboring channels into as few groups as possible, all but the last of the same size."""
    count = math.ceil(inputs / MAX_GROUP_SIZE)
    width = GROUP_MULTIPLE * math.ceil(math.ceil(inputs / count) / GROUP_MULTIPLE)
    return (*[width] * (count - 1), inputs - width * (count - 1))
