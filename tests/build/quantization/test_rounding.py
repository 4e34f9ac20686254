"""Signed 8-bit steps: the nearest ones bit for bit as onnxruntime's, those with feedback as the textbook's."""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import TensorProto
from onnxruntime.quantization.quant_utils import quantize_data

from build.quantization import rounding
from build.quantization.rounding import (
    BLOCK,
    DAMPING,
    ROWS_AT_ONCE,
    STEPS,
    Rounded,
    column_scales,
    corrections,
    group_scales,
    round_columns,
    round_rows,
    round_with_feedback,
    spread,
)

MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 5)),
    elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
    | st.floats(-(2.0**-120), 2.0**-120, width=32, allow_subnormal=False),
)
SEEDS = range(12)


@settings(max_examples=200, deadline=None)
@given(MATRICES)
def test_columns_are_rounded_as_onnxruntime_rounds_them(matrix: np.ndarray):
    rounded = round_columns(matrix)
    assert (rounded.steps.shape, rounded.scales.shape) == (matrix.shape, matrix.shape[1:])
    assert (rounded.steps.dtype, rounded.scales.dtype) == (np.int8, np.float32)
    for n, column in enumerate(matrix.T):
        zero_point, scale, steps = quantize_data(column, TensorProto.INT8, symmetric=True)[:3]
        assert (zero_point, rounded.scales[n]) == (0, scale)
        assert rounded.steps[:, n].tolist() == steps.tolist()


@settings(max_examples=200, deadline=None)
@given(MATRICES)
def test_no_weight_moves_by_more_than_half_a_step(matrix: np.ndarray):
    rounded = round_columns(matrix)
    error = np.abs(values(rounded) - matrix.astype(np.float64))
    assert (error <= 0.5001 * rounded.scales.astype(np.float64)).all()
    assert np.abs(rounded.steps.astype(int)).max() <= STEPS


@settings(max_examples=100, deadline=None)
@given(MATRICES, st.integers(1, 4))
def test_rows_are_rounded_as_columns_of_the_transpose(matrix: np.ndarray, at_once: int):
    """However many of them are rounded at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding, "ROWS_AT_ONCE", at_once)
        rows = round_rows(matrix)
    columns = round_columns(np.ascontiguousarray(matrix.T))
    assert (rows.steps.dtype, rows.scales.dtype) == (np.int8, np.float32)
    assert rows.steps.tolist() == columns.steps.T.tolist()
    assert rows.scales.tolist() == columns.scales.tolist()


@pytest.mark.parametrize("rows", [ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1])
def test_a_table_of_more_rows_than_are_rounded_at_once_has_them_all(rows: int):
    table = np.random.default_rng(rows).standard_normal((rows, 3)).astype(np.float32)
    rounded, expected = round_rows(table), round_columns(np.ascontiguousarray(table.T))
    np.testing.assert_array_equal(rounded.steps, expected.steps.T)
    np.testing.assert_array_equal(rounded.scales, expected.scales)


@pytest.mark.parametrize("groups", [(9,), (1, 8), (4, 4, 1)])
def test_groups_of_rows_are_rounded_as_matrices_of_their_own(groups: tuple[int, ...]):
    matrix = np.random.default_rng(3).standard_normal((9, 5)).astype(np.float32)
    rounded = round_columns(matrix, groups)
    parts = [round_columns(part) for part in np.split(matrix, np.cumsum(groups)[:-1])]
    np.testing.assert_array_equal(rounded.steps, np.concatenate([part.steps for part in parts]))
    np.testing.assert_array_equal(rounded.scales, np.stack([part.scales for part in parts]))
    np.testing.assert_array_equal(spread(rounded.scales, groups)[:, 2], np.repeat(rounded.scales[:, 2], groups))


@pytest.mark.parametrize("groups", [(BLOCK + 9,), (64, BLOCK - 55), (3, BLOCK, 6)])
@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_feedback_goes_from_group_to_group(groups: tuple[int, ...], correlation: float):
    """The textbook's way, with each row on its own group's grid."""
    matrix, moments = a_problem(7, sum(groups), 4, correlation)
    found = round_with_feedback(matrix, corrections(moments), groups)
    np.testing.assert_array_equal(found.scales, group_scales(matrix, groups))
    np.testing.assert_array_equal(found.steps, textbook(matrix, moments, spread(found.scales, groups)))


def test_groups_without_corrections_go_to_their_nearest_steps():
    matrix, _ = a_problem(8, 20, 4, 0.0)
    found, nearest = round_with_feedback(matrix, None, (15, 5)), round_columns(matrix, (15, 5))
    np.testing.assert_array_equal(found.steps, nearest.steps)
    np.testing.assert_array_equal(found.scales, nearest.scales)


def values(rounded: Rounded) -> NDArray[np.float64]:
    return rounded.steps.astype(np.float64) * rounded.scales.astype(np.float64)


def lost(rounded: Rounded, matrix: NDArray[np.float32], moments: NDArray[np.float64]) -> float:
    """The mean squared error of the products, tr(Eᵀ H E), in float64."""
    error = values(rounded) - matrix.astype(np.float64)
    return float(np.einsum("ij,ik,kj->", error, moments, error))


def a_problem(seed: int, rows: int, columns: int, correlation: float) -> tuple[NDArray[np.float32], NDArray]:
    """A matrix, and moments of vectors of which ``correlation`` is what all channels have in common."""
    random = np.random.default_rng(seed)
    common = random.standard_normal((4 * rows, 1)) * random.choice([-1.0, 1.0], rows)
    vectors = correlation * common + (1 - correlation) * random.standard_normal((4 * rows, rows))
    vectors *= np.exp(random.standard_normal(rows))
    return random.standard_normal((rows, columns)).astype(np.float32), vectors.T @ vectors / len(vectors)


def textbook(
    matrix: NDArray[np.float32], moments: NDArray[np.float64], scales: NDArray[np.float32] | None = None
) -> NDArray[np.int8]:
    """Optimal brain quantization, those rows first that have the largest inputs: one at a time, without blocks and
    without Cholesky.

    What a rounded row leaves of the inverse moments: Frantar et al. 2023, equations 2 and 3.
    """
    inverse = np.linalg.inv(moments + DAMPING * np.diag(moments).mean() * np.eye(len(moments)))
    grids = np.broadcast_to(column_scales(matrix) if scales is None else scales, matrix.shape).astype(np.float64)
    left, steps = matrix.astype(np.float64), np.empty(matrix.shape, dtype=np.int8)
    for row in sorted(range(len(matrix)), key=lambda row: -moments[row, row]):
        steps[row] = np.clip(np.rint(left[row] / grids[row]), -STEPS, STEPS)
        share = inverse[:, row] / inverse[row, row]
        left -= np.outer(share, left[row] - steps[row] * grids[row])
        inverse -= np.outer(share, inverse[row])
    return steps


@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 4), (7, 5), (BLOCK - 1, 3), (BLOCK, 3), (BLOCK + 1, 3), (2 * BLOCK + 9, 2)]
)
@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_steps_with_feedback_are_the_textbooks(rows: int, columns: int, correlation: float):
    matrix, moments = a_problem(rows, rows, columns, correlation)
    found = round_with_feedback(matrix, corrections(moments))
    assert (found.steps.dtype, found.scales.dtype) == (np.int8, np.float32)
    np.testing.assert_array_equal(found.scales, column_scales(matrix))
    np.testing.assert_array_equal(found.steps, textbook(matrix, moments))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_feedback_loses_less_than_the_nearest_steps(seed: int, correlation: float):
    matrix, moments = a_problem(seed, 48, 32, correlation)
    nearest, found = round_columns(matrix), round_with_feedback(matrix, corrections(moments))
    assert np.abs(found.steps.astype(int)).max() <= STEPS
    assert lost(found, matrix, moments) < lost(nearest, matrix, moments)


@pytest.mark.parametrize("seed", SEEDS)
def test_feedback_loses_far_less_where_channels_go_together(seed: int):
    matrix, moments = a_problem(seed, 48, 32, correlation=0.9)
    nearest, found = round_columns(matrix), round_with_feedback(matrix, corrections(moments))
    assert lost(found, matrix, moments) < 0.3 * lost(nearest, matrix, moments)


@settings(max_examples=50, deadline=None)
@given(MATRICES, st.integers(0, 2**32 - 1))
def test_steps_with_feedback_stay_in_their_range(matrix: np.ndarray, seed: int):
    """A weight whose column's largest it was can be pushed beyond."""
    vectors = np.random.default_rng(seed).standard_normal((3, len(matrix))) + 2
    found = round_with_feedback(matrix, corrections(vectors.T @ vectors))
    assert found.steps.shape == matrix.shape
    assert np.abs(found.steps.astype(int)).max() <= STEPS
    np.testing.assert_array_equal(found.scales, column_scales(matrix))


@settings(max_examples=100, deadline=None)
@given(MATRICES, st.integers(0, 2**32 - 1))
def test_channels_that_have_nothing_in_common_go_to_the_nearest_steps(matrix: np.ndarray, seed: int):
    diagonal = np.exp(np.random.default_rng(seed).uniform(-9, 9, len(matrix)))
    found, nearest = round_with_feedback(matrix, corrections(np.diag(diagonal))), round_columns(matrix)
    ties = np.abs(np.abs(matrix / nearest.scales) % 1 - 0.5) < 1e-5
    assert (found.steps[~ties] == nearest.steps[~ties]).all()


def test_copies_of_a_channel_make_up_for_one_anothers_errors():
    """Four copies of a weight: their mean may be a quarter of a step off at most, an eighth with the best steps."""
    random = np.random.default_rng(5)
    copies, channels = 4, 8
    vectors = np.repeat(random.standard_normal((200, channels)), copies, axis=1)
    matrix = np.repeat(random.standard_normal((channels, 64)), copies, axis=0).astype(np.float32)
    moments = vectors.T @ vectors / len(vectors)
    nearest, found = round_columns(matrix), round_with_feedback(matrix, corrections(moments))
    means = [values(rounded).reshape(channels, copies, -1).mean(axis=1) for rounded in (found, nearest)]
    errors = [np.abs(mean - matrix[::copies]) / found.scales for mean in means]
    assert np.sqrt(np.square(errors[0]).mean()) < 0.5 * np.sqrt(np.square(errors[1]).mean())
    assert len({tuple(column) for column in found.steps[:copies].T}) > 1
    assert lost(found, matrix, moments) < 0.3 * lost(nearest, matrix, moments)


def test_corrections_are_the_upper_factor_of_the_inverse_of_the_damped_moments():
    _, moments = a_problem(3, 20, 1, 0.5)
    found = corrections(moments)
    assert found is not None
    damped = moments + 0.01 * np.trace(moments) / 20 * np.eye(20)
    ordered = damped[np.ix_(found.order, found.order)]
    assert (np.diff(np.diag(ordered)) <= 0).all()
    assert (np.tril(found.factor, -1) == 0).all()
    np.testing.assert_allclose(found.factor.T @ found.factor @ ordered, np.eye(20), atol=1e-9)


def test_rows_with_equally_large_inputs_keep_their_order():
    """So that the same bytes come out each time."""
    found = corrections(np.eye(40))
    assert found is not None
    assert found.order.tolist() == list(range(40))


def test_moments_are_not_changed():
    _, moments = a_problem(4, 6, 1, 0.5)
    before = moments.copy()
    corrections(moments)
    np.testing.assert_array_equal(moments, before)


NOTHING_KNOWN = {
    "one that is not a number": np.where(np.eye(6) == 1, 1.0, np.nan),
    "nothing but numbers that are none": np.full((6, 6), np.nan),
    "infinite": np.full((6, 6), np.inf),
    "one infinite": np.diag([1.0, 1, np.inf, 1, 1, 1]),
    "of no vectors that could be": -np.eye(6),
}


@pytest.mark.parametrize("kind", NOTHING_KNOWN)
def test_moments_that_say_nothing_give_the_nearest_steps(kind: str):
    matrix, _ = a_problem(1, 6, 9, 0)
    assert corrections(NOTHING_KNOWN[kind]) is None
    found, nearest = round_with_feedback(matrix, None), round_columns(matrix)
    np.testing.assert_array_equal(found.steps, nearest.steps)
    np.testing.assert_array_equal(found.scales, nearest.scales)


@pytest.mark.parametrize("size", [0, 1e-312])
def test_an_input_that_is_always_zero_or_nearly_gives_the_nearest_steps(size: float):
    matrix, _ = a_problem(1, 6, 9, 0)
    found = round_with_feedback(matrix, corrections(size * np.eye(6)))
    np.testing.assert_array_equal(found.steps, round_columns(matrix).steps)


@pytest.mark.parametrize("silent", [1, 5])
def test_channels_that_are_always_zero_do_not_disturb_the_others(silent: int):
    """Moments without an inverse."""
    matrix, moments = a_problem(2, 12, 9, 0.8)
    moments[:silent] = moments[:, :silent] = 0
    found, nearest = round_with_feedback(matrix, corrections(moments)), round_columns(matrix)
    np.testing.assert_array_equal(found.steps[:silent], nearest.steps[:silent])
    assert lost(found, matrix, moments) < lost(nearest, matrix, moments)


def test_fewer_vectors_than_channels_are_enough():
    random = np.random.default_rng(6)
    matrix, vectors = random.standard_normal((64, 16)).astype(np.float32), random.standard_normal((10, 64))
    moments = vectors.T @ vectors / 10
    found = round_with_feedback(matrix, corrections(moments))
    assert lost(found, matrix, moments) < 0.1 * lost(round_columns(matrix), matrix, moments)


def test_a_column_of_zeros_stays_zero():
    matrix, moments = a_problem(2, 12, 3, 0.8)
    matrix[:, 1] = 0
    found = round_with_feedback(matrix, corrections(moments))
    assert found.scales[1] == 1
    assert not found.steps[:, 1].any()


def test_a_matrix_that_cannot_be_written_to_is_read_only():
    matrix, moments = a_problem(2, 12, 3, 0.8)
    matrix.flags.writeable = False
    for rounded in (round_columns(matrix), round_rows(matrix), round_with_feedback(matrix, corrections(moments))):
        assert rounded.steps.shape == matrix.shape
