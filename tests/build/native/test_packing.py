"""Weights in the layout of the native kernels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build.native.packing import PANEL, QUAD, group_sums, pack
from build.quantization.groups import MAX_GROUP_SIZE, channel_groups


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


@given(k=st.integers(1, 1000), n=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_every_group_has_its_sums(k, n, seed):
    weight = np.random.default_rng(seed).integers(-127, 128, (k, n), dtype=np.int8)
    ends = np.cumsum(channel_groups(k))
    expected = [
        weight[end - size : end].sum(axis=0, dtype=np.int64) for end, size in zip(ends, channel_groups(k), strict=True)
    ]
    np.testing.assert_array_equal(group_sums(weight), expected)


@pytest.mark.parametrize("value", [127, -127, -128])
def test_sums_do_not_overflow(value):
    weight = np.full((MAX_GROUP_SIZE, 3), value, np.int8)
    assert group_sums(weight).dtype == np.int32
    assert group_sums(weight).tolist() == [[value * MAX_GROUP_SIZE] * 3]
