"""Cosines to the original and their summary, compared with numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from build.fidelity.cosine import DECIMALS, cosines, summarize
from manifest import CosineFigures

rows = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 8), st.integers(1, 16)),
    elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False),
)


def test_known_angles():
    left = np.array([[1, 0], [1, 0], [1, 0], [3, 4], [1, 1]], dtype=np.float32)
    right = np.array([[2, 0], [0, 5], [-1, 0], [4, 3], [1, 0]], dtype=np.float32)
    np.testing.assert_allclose(cosines(left, right), [1, 0, -1, 24 / 25, np.sqrt(0.5)], atol=1e-15)


def test_two_zero_vectors_are_equal_and_one_is_not():
    zero, other = np.zeros((1, 3), np.float32), np.ones((1, 3), np.float32)
    assert cosines(zero, zero) == [1]
    assert cosines(zero, other) == [0]
    assert cosines(other, zero) == [0]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_like_no_other(odd: float):
    broken = np.array([[odd, 1], [1, 0]], np.float32)
    whole = np.array([[1, 1], [1, 0]], np.float32)
    for values in (cosines(broken, whole), cosines(whole, broken), cosines(broken, broken)):
        np.testing.assert_array_equal(values, [np.nan, 1])
    assert np.isnan([summarize(values).mean, summarize(values).p1, summarize(values).minimum]).all()


def test_small_differences_are_not_lost_in_float32():
    """In float32 this cosine is 1."""
    left = np.ones((1, 384), np.float32)
    right = left.copy()
    right[0, 0] += 1e-3
    expected = (383 + float(right[0, 0])) / np.sqrt(384 * (383 + float(right[0, 0]) ** 2))
    assert cosines(left, right)[0] == pytest.approx(expected, abs=1e-15)
    assert cosines(left, right)[0] < 1


@given(rows)
def test_a_vector_has_a_cosine_of_one_to_itself_at_any_scale(vectors: np.ndarray):
    np.testing.assert_allclose(cosines(vectors, vectors), 1, atol=1e-12)
    np.testing.assert_allclose(cosines(vectors, np.float32(2) * vectors), 1, atol=1e-12)


@given(rows, st.randoms(use_true_random=False))
def test_cosines_are_symmetric_and_lie_between_minus_one_and_one(vectors: np.ndarray, random):
    order = list(range(len(vectors)))
    random.shuffle(order)
    values = cosines(vectors, vectors[order])
    assert values.shape == (len(vectors),)
    assert values.dtype == np.float64
    assert np.isfinite(values).all()
    assert (np.abs(values) <= 1 + 1e-12).all()
    np.testing.assert_allclose(values, cosines(vectors[order], vectors), atol=1e-12)


@given(arrays.arrays(np.float64, st.integers(1, 300), elements=st.floats(-1, 1)))
def test_the_summary_is_numpys(values: np.ndarray):
    summary = summarize(values)
    tolerance = 0.5 * 10**-DECIMALS + 1e-12
    assert summary.count == len(values)
    assert summary.mean == pytest.approx(np.mean(values), abs=tolerance)
    assert summary.minimum == pytest.approx(np.min(values), abs=tolerance)
    assert summary.p1 == pytest.approx(np.quantile(values, 0.01), abs=tolerance)
    assert summary.minimum <= summary.p1


def test_the_first_percentile_lies_between_two_values():
    values = np.linspace(0, 1, 11)
    assert summarize(values) == CosineFigures(count=11, mean=0.5, p1=0.01, minimum=0.0)
