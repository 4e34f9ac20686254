"""GPTQ against the textbook's algorithm, and against rounding to the nearest value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from build.quantization.gptq import BLOCK_SIZE, DAMPENING, gptq, gptq_factor
from build.quantization.rounding import QMAX, QuantizedMatrix, expand_groups, matrix_scales, quantize_per_channel

MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 5)),
    elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)
    | st.floats(-(2.0**-120), 2.0**-120, width=32, allow_subnormal=False),
)
SEEDS = range(12)


def dequantized(quantized: QuantizedMatrix) -> NDArray[np.float64]:
    return quantized.values.astype(np.float64) * quantized.scales.astype(np.float64)


def product_error(quantized: QuantizedMatrix, matrix: NDArray[np.float32], hessian: NDArray[np.float64]) -> float:
    """The mean squared error of the products, tr(Eᵀ H E), in float64."""
    error = dequantized(quantized) - matrix.astype(np.float64)
    return float(np.einsum("ij,ik,kj->", error, hessian, error))


def a_problem(seed: int, rows: int, columns: int, correlation: float) -> tuple[NDArray[np.float32], NDArray]:
    """A matrix, and the Hessian of inputs in which ``correlation`` is the share that all channels have in common."""
    random = np.random.default_rng(seed)
    common = random.standard_normal((4 * rows, 1)) * random.choice([-1.0, 1.0], rows)
    vectors = correlation * common + (1 - correlation) * random.standard_normal((4 * rows, rows))
    vectors *= np.exp(random.standard_normal(rows))
    return random.standard_normal((rows, columns)).astype(np.float32), vectors.T @ vectors / len(vectors)


def textbook(
    matrix: NDArray[np.float32], hessian: NDArray[np.float64], scales: NDArray[np.float32] | None = None
) -> NDArray[np.int8]:
    """Optimal brain quantization, rows with the largest inputs first: one at a time, without blocks or Cholesky.

    What a quantized row leaves of the inverse Hessian: Frantar et al. 2023, equations 2 and 3.
    """
    inverse = np.linalg.inv(hessian + DAMPENING * np.diag(hessian).mean() * np.eye(len(hessian)))
    scales = matrix_scales(matrix, None) if scales is None else scales
    grids = np.broadcast_to(scales, matrix.shape).astype(np.float64)
    remaining, values = matrix.astype(np.float64), np.empty(matrix.shape, dtype=np.int8)
    for row in sorted(range(len(matrix)), key=lambda row: -hessian[row, row]):
        values[row] = np.clip(np.rint(remaining[row] / grids[row]), -QMAX, QMAX)
        share = inverse[:, row] / inverse[row, row]
        remaining -= np.outer(share, remaining[row] - values[row] * grids[row])
        inverse -= np.outer(share, inverse[row])
    return values


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(1, 4), (7, 5), (BLOCK_SIZE - 1, 3), (BLOCK_SIZE, 3), (BLOCK_SIZE + 1, 3), (2 * BLOCK_SIZE + 9, 2)],
)
@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_values_are_the_textbooks(rows: int, columns: int, correlation: float):
    matrix, hessian = a_problem(rows, rows, columns, correlation)
    found = gptq(matrix, gptq_factor(hessian))
    assert (found.values.dtype, found.scales.dtype) == (np.int8, np.float32)
    np.testing.assert_array_equal(found.scales, matrix_scales(matrix, None))
    np.testing.assert_array_equal(found.values, textbook(matrix, hessian))


@pytest.mark.parametrize("groups", [(BLOCK_SIZE + 9,), (64, BLOCK_SIZE - 55), (3, BLOCK_SIZE, 6)])
@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_errors_are_compensated_across_groups(groups: tuple[int, ...], correlation: float):
    """The textbook's values, with each row on the grid of its own group."""
    matrix, hessian = a_problem(7, sum(groups), 4, correlation)
    found = gptq(matrix, gptq_factor(hessian), groups)
    np.testing.assert_array_equal(found.scales, matrix_scales(matrix, groups))
    np.testing.assert_array_equal(found.values, textbook(matrix, hessian, expand_groups(found.scales, groups)))


def test_groups_without_a_factor_are_rounded_to_the_nearest_values():
    matrix, _ = a_problem(8, 20, 4, 0.0)
    found, nearest = gptq(matrix, None, (15, 5)), quantize_per_channel(matrix, (15, 5))
    np.testing.assert_array_equal(found.values, nearest.values)
    np.testing.assert_array_equal(found.scales, nearest.scales)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_the_error_is_smaller_than_that_of_the_nearest_values(seed: int, correlation: float):
    matrix, hessian = a_problem(seed, 48, 32, correlation)
    nearest, found = quantize_per_channel(matrix), gptq(matrix, gptq_factor(hessian))
    assert np.abs(found.values.astype(int)).max() <= QMAX
    assert product_error(found, matrix, hessian) < product_error(nearest, matrix, hessian)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_error_is_far_smaller_where_channels_are_correlated(seed: int):
    matrix, hessian = a_problem(seed, 48, 32, correlation=0.9)
    nearest, found = quantize_per_channel(matrix), gptq(matrix, gptq_factor(hessian))
    assert product_error(found, matrix, hessian) < 0.3 * product_error(nearest, matrix, hessian)


@settings(max_examples=50, deadline=None)
@given(MATRICES, st.integers(0, 2**32 - 1))
def test_values_stay_in_their_range(matrix: np.ndarray, seed: int):
    """The largest weight of a column can be pushed beyond it."""
    vectors = np.random.default_rng(seed).standard_normal((3, len(matrix))) + 2
    found = gptq(matrix, gptq_factor(vectors.T @ vectors))
    assert found.values.shape == matrix.shape
    assert np.abs(found.values.astype(int)).max() <= QMAX
    np.testing.assert_array_equal(found.scales, matrix_scales(matrix, None))


@settings(max_examples=100, deadline=None)
@given(MATRICES, st.integers(0, 2**32 - 1))
def test_uncorrelated_channels_are_rounded_to_the_nearest_values(matrix: np.ndarray, seed: int):
    diagonal = np.exp(np.random.default_rng(seed).uniform(-9, 9, len(matrix)))
    found, nearest = gptq(matrix, gptq_factor(np.diag(diagonal))), quantize_per_channel(matrix)
    ties = np.abs(np.abs(matrix / nearest.scales) % 1 - 0.5) < 1e-5
    assert (found.values[~ties] == nearest.values[~ties]).all()


def test_copies_of_a_channel_compensate_for_one_another():
    """The mean of four copies may be a quarter of a scale off at most, an eighth with the best values."""
    random = np.random.default_rng(5)
    copies, channels = 4, 8
    vectors = np.repeat(random.standard_normal((200, channels)), copies, axis=1)
    matrix = np.repeat(random.standard_normal((channels, 64)), copies, axis=0).astype(np.float32)
    hessian = vectors.T @ vectors / len(vectors)
    nearest, found = quantize_per_channel(matrix), gptq(matrix, gptq_factor(hessian))
    means = [dequantized(quantized).reshape(channels, copies, -1).mean(axis=1) for quantized in (found, nearest)]
    errors = [np.abs(mean - matrix[::copies]) / found.scales for mean in means]
    assert np.sqrt(np.square(errors[0]).mean()) < 0.5 * np.sqrt(np.square(errors[1]).mean())
    assert len({tuple(column) for column in found.values[:copies].T}) > 1
    assert product_error(found, matrix, hessian) < 0.3 * product_error(nearest, matrix, hessian)


def test_the_factor_is_the_upper_cholesky_factor_of_the_inverse_of_the_dampened_hessian():
    _, hessian = a_problem(3, 20, 1, 0.5)
    found = gptq_factor(hessian)
    assert found is not None
    dampened = hessian + 0.01 * np.trace(hessian) / 20 * np.eye(20)
    ordered = dampened[np.ix_(found.order, found.order)]
    factor = found.inverse_cholesky
    assert (np.diff(np.diag(ordered)) <= 0).all()
    assert (np.tril(factor, -1) == 0).all()
    np.testing.assert_allclose(factor.T @ factor @ ordered, np.eye(20), atol=1e-9)


def test_rows_with_equally_large_inputs_keep_their_order():
    """So that every build gives the same bytes."""
    found = gptq_factor(np.eye(40))
    assert found is not None
    assert found.order.tolist() == list(range(40))


def test_the_hessian_is_not_changed():
    _, hessian = a_problem(4, 6, 1, 0.5)
    before = hessian.copy()
    gptq_factor(hessian)
    np.testing.assert_array_equal(hessian, before)


USELESS = {
    "one NaN": np.where(np.eye(6) == 1, 1.0, np.nan),
    "all NaN": np.full((6, 6), np.nan),
    "infinite": np.full((6, 6), np.inf),
    "one infinite": np.diag([1.0, 1, np.inf, 1, 1, 1]),
    "negative": -np.eye(6),
}
"""No vectors of numbers have one of these Hessians."""


@pytest.mark.parametrize("kind", USELESS)
def test_a_useless_hessian_gives_the_nearest_values(kind: str):
    matrix, _ = a_problem(1, 6, 9, 0)
    assert gptq_factor(USELESS[kind]) is None
    found, nearest = gptq(matrix, None), quantize_per_channel(matrix)
    np.testing.assert_array_equal(found.values, nearest.values)
    np.testing.assert_array_equal(found.scales, nearest.scales)


@pytest.mark.parametrize("size", [0, 1e-312])
def test_an_input_that_is_always_about_zero_gives_the_nearest_values(size: float):
    matrix, _ = a_problem(1, 6, 9, 0)
    found = gptq(matrix, gptq_factor(size * np.eye(6)))
    np.testing.assert_array_equal(found.values, quantize_per_channel(matrix).values)


@pytest.mark.parametrize("silent", [1, 5])
def test_channels_that_are_always_zero_do_not_disturb_the_others(silent: int):
    """Their Hessian has no inverse."""
    matrix, hessian = a_problem(2, 12, 9, 0.8)
    hessian[:silent] = hessian[:, :silent] = 0
    found, nearest = gptq(matrix, gptq_factor(hessian)), quantize_per_channel(matrix)
    np.testing.assert_array_equal(found.values[:silent], nearest.values[:silent])
    assert product_error(found, matrix, hessian) < product_error(nearest, matrix, hessian)


def test_fewer_vectors_than_channels_are_enough():
    random = np.random.default_rng(6)
    matrix, vectors = random.standard_normal((64, 16)).astype(np.float32), random.standard_normal((10, 64))
    hessian = vectors.T @ vectors / 10
    found, nearest = gptq(matrix, gptq_factor(hessian)), quantize_per_channel(matrix)
    assert product_error(found, matrix, hessian) < 0.1 * product_error(nearest, matrix, hessian)


def test_a_column_of_zeros_stays_zero():
    matrix, hessian = a_problem(2, 12, 3, 0.8)
    matrix[:, 1] = 0
    found = gptq(matrix, gptq_factor(hessian))
    assert found.scales[1] == 1
    assert not found.values[:, 1].any()


def test_a_matrix_that_cannot_be_written_to_is_only_read():
    matrix, hessian = a_problem(2, 12, 3, 0.8)
    matrix.flags.writeable = False
    assert gptq(matrix, gptq_factor(hessian)).values.shape == matrix.shape
