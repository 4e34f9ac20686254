"""Measures how far vectors are from the original's. Pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manifest import CosineFigures

DECIMALS = 6
"""Reports round cosines to this many decimals."""


def cosines(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cosine of each pair of rows, (texts,) in float64.

    Two zero rows are equal: 1. A zero row and any other: 0. NaN where a row is not finite, because such a vector is
    not like any other.
    """
    a, b = left.astype(np.float64), right.astype(np.float64)
    finite = np.all(np.isfinite(a) & np.isfinite(b), axis=1, keepdims=True)
    a, b = np.where(finite, a, 0), np.where(finite, b, 0)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = np.einsum("td,td->t", a, b)
    values = np.where(norms > 0, products / np.maximum(norms, np.finfo(np.float64).tiny), (a == b).all(axis=1))
    return np.where(finite[:, 0], values, np.nan)


def summarize(values: NDArray[np.float64]) -> CosineFigures:
    """Return the mean, 1st percentile (linear interpolation) and minimum of cosines."""
    return CosineFigures(
        count=len(values),
        mean=round(float(values.mean()), DECIMALS),
        p1=round(float(np.percentile(values, 1)), DECIMALS),
        minimum=round(float(values.min()), DECIMALS),
    )
