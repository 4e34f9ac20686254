"""Every pooling mode against a plain formula in float64, with and without the prompt's tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from manifest import Pooling, PoolingMode
from runtime.text.pooling import MODES, is_mean, mean_of, means_of, only_token, pool, pool_each, reads_one_token

finite = st.floats(-100, 100, width=32)
tokens = st.tuples(st.integers(1, 40), st.integers(1, 16)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=finite)
)


def by_formula(mode: PoolingMode, batch: np.ndarray, skip: int) -> np.ndarray:
    """sentence-transformers' definitions, over the tokens from index ``skip`` on."""
    kept = batch.astype(np.float64)[skip:]
    positions = np.arange(skip + 1, len(batch) + 1)[:, np.newaxis]
    return {
        PoolingMode.CLS: lambda: kept[0],
        PoolingMode.MAX: lambda: kept.max(axis=0),
        PoolingMode.MEAN: lambda: kept.sum(axis=0) / len(kept),
        PoolingMode.MEAN_SQRT_LEN: lambda: kept.sum(axis=0) / len(kept) ** 0.5,
        PoolingMode.WEIGHTED_MEAN: lambda: (kept * positions).sum(axis=0) / positions.sum(),
        PoolingMode.LAST_TOKEN: lambda: kept[-1],
    }[mode]()


@pytest.mark.parametrize(
    "modes", [*((mode,) for mode in PoolingMode), (PoolingMode.MEAN, PoolingMode.MAX)], ids="+".join
)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=9), skip=st.integers(0, 41), seed=st.integers(0, 99))
def test_texts_of_a_run_are_pooled_to_the_bits_that_each_has_alone(
    modes: tuple[PoolingMode, ...], lengths: list[int], skip: int, seed: int
):
    batch = np.random.default_rng(seed).standard_normal((sum(lengths), 24)).astype(np.float32)
    ends = np.cumsum(lengths)
    alone = [pool(batch[end - length : end], modes, skip) for length, end in zip(lengths, ends, strict=True)]
    pooled = pool_each(batch, lengths, modes, skip)
    assert pooled.dtype == np.float32
    np.testing.assert_array_equal(pooled, alone)


@pytest.mark.parametrize("mode", [mode for mode in PoolingMode if is_mean((mode,))])
@given(batch=tokens, skip=st.integers(0, 41))
def test_what_is_a_mean_has_the_bits_of_the_mean_of_its_tokens(mode: PoolingMode, batch: np.ndarray, skip: int):
    begin, end = mean_of((mode,), skip, len(batch))
    assert 0 <= begin <= end <= len(batch)
    mean = pool(batch[begin:end], (PoolingMode.MEAN,), 0) if end > begin else np.zeros_like(batch[0])
    np.testing.assert_array_equal(pool(batch, (mode,), skip), mean)


@pytest.mark.parametrize("mode", [mode for mode in PoolingMode if is_mean((mode,))])
@given(skip=st.integers(0, 9), lengths=st.lists(st.integers(1, 9), max_size=5))
def test_the_means_of_several_texts_are_those_of_each(mode: PoolingMode, skip: int, lengths: list[int]):
    assert [*means_of((mode,), skip, lengths)] == [mean_of((mode,), skip, length) for length in lengths]


def test_which_modes_are_means():
    assert [mode for mode in PoolingMode if is_mean((mode,))] == [
        PoolingMode.CLS,
        PoolingMode.MEAN,
        PoolingMode.LAST_TOKEN,
    ]
    assert not is_mean((PoolingMode.MEAN, PoolingMode.MEAN))


@pytest.mark.parametrize("mode", PoolingMode)
def test_modes_that_may_read_one_token_are_known(mode: PoolingMode):
    assert reads_one_token((mode,)) == any(only_token((mode,), skip, 4) is not None for skip in range(6))
    assert not reads_one_token((mode, mode))


def test_every_mode_of_the_manifest_is_there():
    assert set(MODES) == set(PoolingMode)


@pytest.mark.parametrize("mode", PoolingMode)
@given(batch=tokens, data=st.data())
def test_a_mode_is_its_formula_over_the_tokens_that_count(mode: PoolingMode, batch: np.ndarray, data):
    skip = data.draw(st.integers(0, len(batch) - 1))
    pooled = pool(batch, (mode,), skip)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, by_formula(mode, batch, skip), atol=1e-3, rtol=1e-5)


@given(tokens, st.lists(st.sampled_from(PoolingMode), min_size=1, max_size=4))
def test_the_vectors_of_several_modes_are_concatenated_in_their_order(batch: np.ndarray, modes: list[PoolingMode]):
    expected = np.concatenate([pool(batch, (mode,), 0) for mode in modes])
    np.testing.assert_array_equal(pool(batch, tuple(modes), 0), expected)


@pytest.mark.parametrize("skip", [3, 4, 100])
def test_where_no_token_counts_the_result_is_sentence_transformers(skip: int):
    """Its masked sums are zero, its CLS the first token of all, and its maximum that of nothing."""
    batch = np.arange(1, 7, dtype=np.float32).reshape(3, 2)
    for mode in (PoolingMode.MEAN, PoolingMode.MEAN_SQRT_LEN, PoolingMode.WEIGHTED_MEAN, PoolingMode.LAST_TOKEN):
        np.testing.assert_array_equal(pool(batch, (mode,), skip), [0, 0])
    np.testing.assert_array_equal(pool(batch, (PoolingMode.CLS,), skip), batch[0])
    np.testing.assert_array_equal(pool(batch, (PoolingMode.MAX,), skip), [-np.inf, -np.inf])


@given(st.integers(1, 6), st.integers(0, 8), st.lists(st.sampled_from(PoolingMode), min_size=1, max_size=2))
def test_the_only_token_that_is_read_gives_the_same_vector_alone(tokens: int, skip: int, modes: list[PoolingMode]):
    batch = np.arange(2 * tokens, dtype=np.float32).reshape(tokens, 2)
    only = only_token(tuple(modes), skip, tokens)
    if only is not None:
        np.testing.assert_array_equal(pool(batch[[only]], tuple(modes), 0), pool(batch, tuple(modes), skip))
    read_one = Pooling(tuple(modes), include_prompt=True).reads_one_token
    assert (only is not None) == (read_one and (modes == [PoolingMode.CLS] or skip < tokens))
