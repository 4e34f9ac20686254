"""Symmetric int8 quantization of matrices to the nearest value: per channel, per row, or per group of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QMAX = 127
"""Quantized weights are in -127 … 127: a symmetric range, so that the zero point is 0."""

ROWS_AT_ONCE = 8192
"""A table of embeddings, which may take gigabytes, is quantized in slices of this many rows."""


@dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix as ``values`` times ``scales``."""

    values: NDArray[np.int8]
    """The shape is the matrix's."""

    scales: NDArray[np.float32]
    """One for each column (or row); with groups of rows (groups, columns)."""


def quantize_per_channel(matrix: NDArray[np.float32], groups: Sequence[int] | None = None) -> QuantizedMatrix:
    """Round each weight of (rows, columns) to its nearest value, with a scale for each column.

    With ``groups``, the numbers of neighboring rows that form a group, each group of a column has its own scale.
    """
    scales = matrix_scales(matrix, groups)
    values = matrix / expand_groups(scales, groups)
    np.round(values, out=values)
    return QuantizedMatrix(values.astype(np.int8), scales)


def quantize_per_row(matrix: NDArray[np.float32]) -> QuantizedMatrix:
    """Round each weight of (rows, columns) to its nearest value, with a scale for each row."""
    values, scales = np.empty(matrix.shape, dtype=np.int8), np.empty(len(matrix), dtype=np.float32)
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        quantized = quantize_per_channel(matrix[rows].T)
        values[rows], scales[rows] = quantized.values.T, quantized.scales
    return QuantizedMatrix(values, scales)


def matrix_scales(matrix: NDArray[np.float32], groups: Sequence[int] | None) -> NDArray[np.float32]:
    """Return the scales of the columns, (columns,), or of the groups of rows in each column, (groups, columns)."""
    if groups is None:
        return channel_scales(matrix)
    return np.stack([channel_scales(part) for part in np.split(matrix, np.cumsum(groups)[:-1])])


def channel_scales(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scale of each column: 1 where the column is zero, or smaller than fp32 can scale."""
    # NOTE: twice the largest component over twice QMAX, in fp64 as onnxruntime does: the same bits.
    scales = 2 * np.abs(matrix).max(axis=0).astype(np.float64) / (2 * QMAX)
    scales[scales < np.finfo(np.float32).tiny] = 1
    return scales.astype(np.float32)


def expand_groups(scales: NDArray[np.float32], groups: Sequence[int] | None) -> NDArray[np.float32]:
    """Repeat each group's scale for its rows, (groups, columns) to (rows, columns); without groups, change nothing."""
    return scales if groups is None else np.repeat(scales, groups, axis=0)
