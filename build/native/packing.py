"""Lays out quantized weights as the native kernels read them (docs/kernels.md, "Layouts")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from build.quantization.groups import channel_groups

PANEL = 16
"""Output channels that lie together."""

QUAD = 4
"""Input channels that lie together for one output channel: what one instruction multiplies and adds up."""


def pack(weight: NDArray[np.int8]) -> NDArray[np.int8]:
    """(K, N) to (ceil(N / 16), ceil(K / 4), 16, 4), padded with zeros.

    ``packed[p, q, j, i]`` is ``weight[4 q + i, 16 p + j]``.
    """
    inputs, outputs = weight.shape
    padded = np.pad(weight, ((0, -inputs % QUAD), (0, -outputs % PANEL)))
    panels = padded.reshape(-1, QUAD, padded.shape[1] // PANEL, PANEL).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(panels)


def sums(weight: NDArray[np.int8]) -> NDArray[np.int32]:
    """Of (K, N) over each group of channels, (groups, N): activations have a lowest value that is not zero."""
    starts = np.cumsum((0, *channel_groups(len(weight))[:-1]))
    totals: NDArray[np.int32] = np.add.reduceat(weight, starts, axis=0, dtype=np.int32)
    return totals
