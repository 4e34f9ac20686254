"""How kernels quantize activations and weights, by the error of products, against docs/kernels.md in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from build.quantization.scheme import NATIVE, STOCK
from build.quantization.smoothing import squared_error

COLUMNS = 12


def in_groups(rows: NDArray[np.float32], matrix: NDArray[np.float32]) -> float:
    """Compute the relative squared error of products as docs/kernels.md defines them, in float64."""
    exact = rows.astype(np.float64) @ matrix.astype(np.float64)
    width, products = len(matrix), np.zeros(exact.shape)
    size = 64 * math.ceil(width / math.ceil(width / 320) / 64)
    for begin in range(0, width, size):
        x, w = (part.astype(np.float64) for part in (rows[:, begin : begin + size], matrix[begin : begin + size]))
        low = x.min(axis=1, keepdims=True)
        step = (x.max(axis=1, keepdims=True) - low) / 255
        step[step == 0] = 1
        scale = np.abs(w).max(axis=0) / 127
        products += (np.rint((x - low) / step) * step + low) @ (np.rint(w / scale) * scale)
    return float(np.square(products - exact).sum() / np.square(exact - exact.mean(axis=0)).sum())


@pytest.mark.parametrize("width", [1, 300, 320, 321, 700])
def test_the_native_kernels_error_is_that_of_groups_of_channels_in_float64(width: int):
    random = np.random.default_rng(width)
    sample = tuple((random.standard_normal((n, width)) * 3 + 1).astype(np.float32) for n in (30, 1))
    matrix = random.standard_normal((width, COLUMNS)).astype(np.float32)
    found = squared_error(sample, matrix, None, NATIVE)
    # A value halfway between two integers may be rounded the other way in fp32.
    assert found == pytest.approx(in_groups(np.concatenate(sample), matrix), rel=1e-2)


def test_an_outlier_does_not_affect_other_groups_in_the_native_kernels():
    random = np.random.default_rng(5)
    sample = random.standard_normal((50, 640)).astype(np.float32)
    matrix = random.standard_normal((640, COLUMNS)).astype(np.float32)
    plain = squared_error([sample], matrix, None, NATIVE)
    sample[:, 3] = 100
    one_group, all_groups = (
        squared_error([sample], matrix, None, NATIVE),
        squared_error([sample], matrix, None, STOCK),
    )
    assert plain < one_group < 0.7 * all_groups
