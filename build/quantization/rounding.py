"""Rounds matrices to signed 8-bit steps. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

STEPS = 127
"""A weight becomes one of -127 … 127 steps: symmetric, so that the zero point is 0."""

BLOCK = 128
"""Rows that GPTQ rounds before it corrects the rest of the matrix at once."""

ROWS_AT_ONCE = 8192
"""Of a table of embeddings, which may have gigabytes."""

DAMPING = 0.01
"""Part of the mean of the moments' diagonal that GPTQ adds to it."""


@dataclass(frozen=True)
class Rounded:
    """``steps`` int8, shaped as the matrix, and the fp32 ``scales`` of a step: one for each column (or row), or in each
    column one for each group of rows, (groups, columns).
    """

    steps: NDArray[np.int8]
    scales: NDArray[np.float32]


def round_columns(matrix: NDArray[np.float32], groups: Sequence[int] | None = None) -> Rounded:
    """Each weight of fp32 (rows, columns) to the nearest step of its column, or of its group of rows in the column.

    ``groups``: how many neighbouring rows each of them has.
    """
    scales = column_scales(matrix) if groups is None else group_scales(matrix, groups)
    steps = matrix / spread(scales, groups)
    np.round(steps, out=steps)
    return Rounded(steps.astype(np.int8), scales)


def round_rows(matrix: NDArray[np.float32]) -> Rounded:
    """Each weight of fp32 (rows, columns) to the nearest step of its row."""
    steps, scales = np.empty(matrix.shape, dtype=np.int8), np.empty(len(matrix), dtype=np.float32)
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        rounded = round_columns(matrix[rows].T)
        steps[rows], scales[rows] = rounded.steps.T, rounded.scales
    return Rounded(steps, scales)


def column_scales(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """(columns,): what one step is worth. A column that is zero, or smaller than fp32 can scale, has the scale 1."""
    # NOTE: twice the largest component over twice the steps, in fp64 as onnxruntime does: the same bits.
    scales = 2 * np.abs(matrix).max(axis=0).astype(np.float64) / (2 * STEPS)
    scales[scales < np.finfo(np.float32).tiny] = 1
    return scales.astype(np.float32)


def group_scales(matrix: NDArray[np.float32], groups: Sequence[int]) -> NDArray[np.float32]:
    """(groups, columns): what one step is worth in each group of rows."""
    return np.stack([column_scales(part) for part in np.split(matrix, np.cumsum(groups)[:-1])])


def spread(scales: NDArray[np.float32], groups: Sequence[int] | None) -> NDArray[np.float32]:
    """From (groups, columns) to (rows, columns); what has no groups, as it is."""
    return scales if groups is None else np.repeat(scales, groups, axis=0)


@dataclass(frozen=True)
class Corrections:
    """``order``, (rows,): rows of a matrix as they are to be rounded, those with the largest inputs first, while many
    others are left to make up for them. ``factor``, (rows, rows), upper triangular, for rows in that order: what an
    error in one row asks of the rows after it.
    """

    order: NDArray[np.int64]
    factor: NDArray[np.float64]


def corrections(moments: NDArray[np.float64]) -> Corrections | None:
    """What to do about rounding errors in matrices that are multiplied by vectors x; None: nothing is known.

    ``moments``, (rows, rows): the mean of x xᵀ. The factor U is the Cholesky factor of the inverse of the damped
    moments, Uᵀ U (Frantar et al. 2023, algorithm 1; its «act-order»).
    """
    order = np.argsort(-np.diag(moments), kind="stable")
    damped = moments[np.ix_(order, order)]
    damped[np.diag_indices_from(damped)] += DAMPING * float(np.mean(np.diag(moments))) or 1.0
    if not np.isfinite(damped).all():
        return None
    # PERF: with rows and columns in reverse, U is the inverse of the moments' own factor: a third of the work.
    lower, failed = torch.linalg.cholesky_ex(torch.from_numpy(damped[::-1, ::-1].copy()))
    if failed:
        return None
    inverse = torch.linalg.solve_triangular(lower, torch.eye(len(lower), dtype=torch.float64), upper=False)
    factor: NDArray[np.float64] = np.ascontiguousarray(inverse.numpy()[::-1, ::-1])
    return Corrections(order, factor) if np.isfinite(factor).all() else None


def round_with_feedback(
    matrix: NDArray[np.float32], corrections: Corrections | None, groups: Sequence[int] | None = None
) -> Rounded:
    """GPTQ (Frantar et al. 2023, algorithm 1): row by row, each one's rounding error is made up for by the rows after.

    ``corrections``: the input's; without them weights go to their nearest step. ``groups``: see ``round_columns``.
    """
    if corrections is None:
        return round_columns(matrix, groups)
    order, factor = corrections.order, corrections.factor
    rows, columns = matrix.shape
    scales = column_scales(matrix) if groups is None else group_scales(matrix, groups)
    group_of = np.zeros(rows, dtype=np.int64) if groups is None else np.repeat(np.arange(len(groups)), groups)
    left, step = matrix[order].astype(np.float64), np.atleast_2d(scales).astype(np.float64)
    steps = np.empty((rows, columns), dtype=np.int8)
    for start in range(0, rows, BLOCK):
        stop = min(start + BLOCK, rows)
        errors = np.empty((stop - start, columns))
        for row in range(start, stop):
            worth = step[group_of[order[row]]]
            rounded = np.clip(np.rint(left[row] / worth), -STEPS, STEPS)
            steps[order[row]] = rounded
            errors[row - start] = (left[row] - rounded * worth) / factor[row, row]
            left[row + 1 : stop] -= np.outer(factor[row, row + 1 : stop], errors[row - start])
        left[stop:] -= factor[start:stop, stop:].T @ errors
    return Rounded(steps, scales)
