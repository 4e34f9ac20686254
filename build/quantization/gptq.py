"""GPTQ: int8 quantization in which later rows of a matrix compensate for the rounding errors of earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from build.quantization.rounding import QMAX, QuantizedMatrix, matrix_scales, quantize_per_channel

BLOCK_SIZE = 128
"""After this many rows, their errors are applied to the rest of the matrix at once."""

DAMPENING = 0.01
"""This fraction of the mean of the Hessian's diagonal is added to the diagonal."""


@dataclass(frozen=True)
class GptqFactor:
    """What GPTQ needs to know about the input of a matrix with (rows, columns)."""

    order: NDArray[np.int64]
    """The order in which rows are quantized: those with the largest inputs first, while many rows can compensate."""

    inverse_cholesky: NDArray[np.float64]
    """The upper Cholesky factor U of the inverse Hessian, Uᵀ U, (rows, rows), with rows and columns in that order."""


def gptq_factor(hessian: NDArray[np.float64]) -> GptqFactor | None:
    """Factor the inverse of the dampened Hessian; None where it has none, or is not finite.

    ``hessian``, (rows, rows), is E[x xᵀ] of the vectors x that multiply the matrix (Frantar et al. 2023, algorithm 1,
    with its "act-order").
    """
    order = np.argsort(-np.diag(hessian), kind="stable")
    dampened = hessian[np.ix_(order, order)]
    dampened[np.diag_indices_from(dampened)] += DAMPENING * float(np.mean(np.diag(hessian))) or 1.0
    if not np.isfinite(dampened).all():
        return None
    # PERF: with rows and columns reversed, U is the inverse of the Hessian's own factor: a third of the work.
    lower, failed = torch.linalg.cholesky_ex(torch.from_numpy(dampened[::-1, ::-1].copy()))
    if failed:
        return None
    inverse = torch.linalg.solve_triangular(lower, torch.eye(len(lower), dtype=torch.float64), upper=False)
    factor: NDArray[np.float64] = np.ascontiguousarray(inverse.numpy()[::-1, ::-1])
    return GptqFactor(order, factor) if np.isfinite(factor).all() else None


def gptq(
    matrix: NDArray[np.float32], factor: GptqFactor | None, groups: Sequence[int] | None = None
) -> QuantizedMatrix:
    """Quantize row by row, and subtract what each row's rounding error costs from the rows after it.

    Frantar et al. 2023, algorithm 1. Without a ``factor``, weights are rounded to the nearest value. ``groups`` is as
    in ``quantize_per_channel``.
    """
    if factor is None:
        return quantize_per_channel(matrix, groups)
    order, inverse = factor.order, factor.inverse_cholesky
    rows, columns = matrix.shape
    scales = matrix_scales(matrix, groups)
    group_scales = np.atleast_2d(scales).astype(np.float64)
    group_of = np.zeros(rows, dtype=np.int64) if groups is None else np.repeat(np.arange(len(groups)), groups)
    remaining = matrix[order].astype(np.float64)
    values = np.empty((rows, columns), dtype=np.int8)
    for start in range(0, rows, BLOCK_SIZE):
        stop = min(start + BLOCK_SIZE, rows)
        errors = np.empty((stop - start, columns))
        for row in range(start, stop):
            scale = group_scales[group_of[order[row]]]
            rounded = np.clip(np.rint(remaining[row] / scale), -QMAX, QMAX)
            values[order[row]] = rounded
            errors[row - start] = (remaining[row] - rounded * scale) / inverse[row, row]
            remaining[row + 1 : stop] -= np.outer(inverse[row, row + 1 : stop], errors[row - start])
        remaining[stop:] -= inverse[start:stop, stop:].T @ errors
    return QuantizedMatrix(values, scales)
