"""The memory layout of quantized weights that the native kernels read (docs/kernels.md, "Layouts")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from build.quantization.groups import channel_groups

PANEL = 16
"""A panel holds this many adjacent output channels."""

QUAD = 4
"""A quad holds this many adjacent input channels of one output channel: one instruction sums up their products."""


def pack(weight: NDArray[np.int8]) -> NDArray[np.int8]:
    """Reorder a matrix from (K, N) to (ceil(N / 16), ceil(K / 4), 16, 4), padded with zeros.

    ``packed[p, q, j, i]`` is ``weight[4 q + i, 16 p + j]``.
    """
    inputs, outputs = weight.shape
    padded = np.pad(weight, ((0, -inputs % QUAD), (0, -outputs % PANEL)))
    panels = padded.reshape(-1, QUAD, padded.shape[1] // PANEL, PANEL).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(panels)


def group_sums(weight: NDArray[np.int8]) -> NDArray[np.int32]:
    """Sum up each group of input channels, (K, N) to (groups, N); it multiplies the activations' lowest value."""
    starts = np.cumsum((0, *channel_groups(len(weight))[:-1]))
    totals: NDArray[np.int32] = np.add.reduceat(weight, starts, axis=0, dtype=np.int32)
    return totals
