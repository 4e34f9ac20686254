"""Pooling, truncation and normalization against numpy in float64."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from manifest import Pooling
from runtime.pool import normalize, pool, truncate

finite = st.floats(-100, 100, width=32)
tokens = st.tuples(st.integers(1, 40), st.integers(1, 16)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=finite)
)
vectors = st.integers(1, 64).flatmap(lambda size: arrays(np.float32, size, elements=finite))


@given(tokens)
def test_mean_pooling_is_the_mean_over_tokens(batch):
    expected = batch.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(pool(batch, Pooling.MEAN), expected, atol=1e-4, rtol=1e-5)


@given(tokens)
def test_cls_pooling_is_the_first_token(batch):
    np.testing.assert_array_equal(pool(batch, Pooling.CLS), batch[0])


@given(vectors)
def test_a_normalized_vector_has_length_one_or_is_zero(vector):
    norm = np.linalg.norm(normalize(vector).astype(np.float64))
    assert abs(norm - 1) < 1e-5 or np.linalg.norm(vector) < 1e-6


@given(vectors)
def test_normalizing_keeps_the_direction(vector):
    expected = vector.astype(np.float64) / max(np.linalg.norm(vector.astype(np.float64)), 1e-12)
    np.testing.assert_allclose(normalize(vector), expected, atol=1e-5)


def test_a_zero_vector_stays_zero():
    np.testing.assert_array_equal(normalize(np.zeros(3, dtype=np.float32)), np.zeros(3))


@given(vectors, st.data())
def test_truncation_keeps_the_first_components(vector, data):
    dimensions = data.draw(st.integers(1, len(vector)))
    np.testing.assert_array_equal(truncate(vector, dimensions), vector[:dimensions])
    np.testing.assert_array_equal(truncate(vector, None), vector)


@given(vectors)
def test_results_are_float32(vector):
    assert normalize(vector).dtype == np.float32
    assert pool(vector[np.newaxis], Pooling.MEAN).dtype == np.float32
