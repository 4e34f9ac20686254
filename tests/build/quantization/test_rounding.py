"""Rounding to the nearest int8 value: bit for bit as onnxruntime does it, per channel, per row and per group."""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto
from onnxruntime.quantization.quant_utils import quantize_data

from build.quantization import rounding
from build.quantization.rounding import (
    QMAX,
    ROWS_AT_ONCE,
    expand_groups,
    quantize_per_channel,
    quantize_per_row,
)

MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 5)),
    elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
    | st.floats(-(2.0**-120), 2.0**-120, width=32, allow_subnormal=False),
)


@settings(max_examples=200, deadline=None)
@given(MATRICES)
def test_columns_are_rounded_as_onnxruntime_rounds_them(matrix: np.ndarray):
    found = quantize_per_channel(matrix)
    assert (found.values.shape, found.scales.shape) == (matrix.shape, matrix.shape[1:])
    assert (found.values.dtype, found.scales.dtype) == (np.int8, np.float32)
    for index, column in enumerate(matrix.T):
        zero_point, scale, values = quantize_data(column, TensorProto.INT8, symmetric=True)[:3]
        assert (zero_point, found.scales[index]) == (0, scale)
        assert found.values[:, index].tolist() == values.tolist()


@settings(max_examples=200, deadline=None)
@given(MATRICES)
def test_no_weight_moves_by_more_than_half_a_scale(matrix: np.ndarray):
    found = quantize_per_channel(matrix)
    scales = found.scales.astype(np.float64)
    assert (np.abs(found.values * scales - matrix.astype(np.float64)) <= 0.5001 * scales).all()
    assert np.abs(found.values.astype(int)).max() <= QMAX


@settings(max_examples=100, deadline=None)
@given(MATRICES, st.integers(1, 4))
def test_rows_are_rounded_as_columns_of_the_transpose(matrix: np.ndarray, at_once: int):
    """However many of them are rounded at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "ROWS_AT_ONCE", at_once)
        rows = quantize_per_row(matrix)
    columns = quantize_per_channel(np.ascontiguousarray(matrix.T))
    assert (rows.values.dtype, rows.scales.dtype) == (np.int8, np.float32)
    assert rows.values.tolist() == columns.values.T.tolist()
    assert rows.scales.tolist() == columns.scales.tolist()


@pytest.mark.parametrize("rows", [ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1])
def test_a_table_with_more_rows_than_are_rounded_at_once_is_complete(rows: int):
    table = np.random.default_rng(rows).standard_normal((rows, 3)).astype(np.float32)
    found, expected = quantize_per_row(table), quantize_per_channel(np.ascontiguousarray(table.T))
    np.testing.assert_array_equal(found.values, expected.values.T)
    np.testing.assert_array_equal(found.scales, expected.scales)


@pytest.mark.parametrize("groups", [(9,), (1, 8), (4, 4, 1)])
def test_groups_of_rows_are_rounded_as_matrices_of_their_own(groups: tuple[int, ...]):
    matrix = np.random.default_rng(3).standard_normal((9, 5)).astype(np.float32)
    found = quantize_per_channel(matrix, groups)
    parts = [quantize_per_channel(part) for part in np.split(matrix, np.cumsum(groups)[:-1])]
    np.testing.assert_array_equal(found.values, np.concatenate([part.values for part in parts]))
    np.testing.assert_array_equal(found.scales, np.stack([part.scales for part in parts]))
    np.testing.assert_array_equal(expand_groups(found.scales, groups)[:, 2], np.repeat(found.scales[:, 2], groups))


def test_a_column_of_zeros_stays_zero():
    matrix = np.random.default_rng(2).standard_normal((12, 3)).astype(np.float32)
    matrix[:, 1] = 0
    found = quantize_per_channel(matrix)
    assert found.scales[1] == 1
    assert not found.values[:, 1].any()


def test_a_matrix_that_cannot_be_written_to_is_only_read():
    matrix = np.random.default_rng(2).standard_normal((12, 3)).astype(np.float32)
    matrix.flags.writeable = False
    for quantized in (quantize_per_channel(matrix), quantize_per_row(matrix)):
        assert quantized.values.shape == matrix.shape
