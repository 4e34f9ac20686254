"""Measures how far vectors are from the original's. Pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manifest import CosineFigures

DECIMALS = 6


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row by row, (texts,) in float64. Two zero rows are equal: 1; a zero row and another: 0.

    NaN where a row is not finite: no such vector is like any other.
    """
    a, b = left.astype(np.float64), right.astype(np.float64)
    finite = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    a, b = np.where(finite[:, np.newaxis], a, 0), np.where(finite[:, np.newaxis], b, 0)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = np.einsum("td,td->t", a, b)
    values = np.where(norms > 0, products / np.maximum(norms, np.finfo(np.float64).tiny), (a == b).all(axis=1))
    return np.where(finite, values, np.nan)


def summarize(values: NDArray[np.float64]) -> CosineFigures:
    """Mean, 1st percentile (linear interpolation) and minimum of cosines."""
    return CosineFigures(
        count=len(values),
        mean=round(float(values.mean()), DECIMALS),
        p1=round(float(np.percentile(values, 1)), DECIMALS),
        minimum=round(float(values.min()), DECIMALS),
    )
