"""Weights in the layout of the native kernels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build.pack import PANEL, QUAD, pack, sums


@given(k=st.integers(1, 40), n=st.integers(1, 70), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_every_weight_has_its_place_and_the_rest_is_zero(k, n, seed):
    weight = np.random.default_rng(seed).integers(-127, 128, (k, n), dtype=np.int8)
    packed = pack(weight)
    assert packed.shape == (-(-n // PANEL), -(-k // QUAD), PANEL, QUAD)
    assert packed.flags.c_contiguous
    assert packed.dtype == np.int8
    for i in range(packed.shape[1] * QUAD):
        for j in range(packed.shape[0] * PANEL):
            expected = weight[i, j] if i < k and j < n else 0
            assert packed[j // PANEL, i // QUAD, j % PANEL, i % QUAD] == expected


@pytest.mark.parametrize("value", [127, -127, -128])
def test_sums_do_not_overflow(value):
    weight = np.full((70000, 3), value, np.int8)
    assert sums(weight).dtype == np.int32
    assert sums(weight).tolist() == [value * 70000] * 3
