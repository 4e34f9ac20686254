"""How channels are scaled and split: laws of scalings, formulas in float64, and what is chosen when."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from build.quantization.linear_inputs import LinearInput, Norm, Producers
from build.quantization.observer import ActivationStats
from build.quantization.scheme import NATIVE, STOCK
from build.quantization.smoothing import (
    ALPHAS,
    CHANNELS_PER_SPLIT,
    MAX_ERROR_RATIO,
    MIN_MAX,
    SPLIT_ALPHAS,
    SPLIT_MULTIPLE,
    ChannelScaling,
    added_channels,
    choose,
    identity_scaling,
    scalings,
    smoothquant,
    split_outliers,
    squared_error,
)

WIDTH, COLUMNS, TOKENS = 24, 12, 60
NORM = Norm("n", "scale", "bias")
PRODUCERS = Producers(("up",), ("bias",))


@st.composite
def some_scalings(draw: st.DrawFn) -> ChannelScaling:
    splits = np.array(draw(st.lists(st.integers(1, 4), min_size=1, max_size=6)), dtype=np.int64)
    total = int(splits.sum())
    scales = draw(st.lists(st.floats(2.0**-10, 2.0**10, width=32), min_size=total, max_size=total))
    return ChannelScaling(splits, np.array(scales, dtype=np.float32), None)


def rows_of(width: int, seed: int, tokens: int = 5) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((tokens, width)).astype(np.float32)


class TestScaling:
    @settings(max_examples=200, deadline=None)
    @given(some_scalings(), st.integers(0, 999))
    def test_products_stay_what_they_were(self, scaling: ChannelScaling, seed: int):
        rows, matrix = rows_of(len(scaling.splits), seed), rows_of(len(scaling.splits), seed + 1).T
        exact = rows.astype(np.float64) @ matrix.astype(np.float64)
        found = scaling.activation(rows).astype(np.float64) @ scaling.matrix(matrix).astype(np.float64)
        sizes = np.abs(rows).astype(np.float64) @ np.abs(matrix).astype(np.float64)
        assert (np.abs(found - exact) <= 1e-6 * sizes).all()

    @settings(max_examples=100, deadline=None)
    @given(some_scalings(), st.integers(0, 999))
    def test_the_hessian_is_that_of_the_scaled_activation(self, scaling: ChannelScaling, seed: int):
        rows = rows_of(len(scaling.splits), seed).astype(np.float64)
        scaled = np.repeat(rows, scaling.splits, axis=1) / scaling.scales.astype(np.float64)
        np.testing.assert_allclose(scaling.hessian(rows.T @ rows), scaled.T @ scaled, rtol=1e-6)

    @settings(max_examples=50, deadline=None)
    @given(some_scalings())
    def test_shapes_and_added_channels(self, scaling: ChannelScaling):
        width, total = len(scaling.splits), int(scaling.splits.sum())
        assert scaling.activation(np.ones((2, 3, width), dtype=np.float32)).shape == (2, 3, total)
        assert scaling.matrix(np.ones((width, 5), dtype=np.float32)).shape == (total, 5)
        assert scaling.matrix(np.ones((width, 5), dtype=np.float32)).dtype == np.float32
        assert scaling.hessian(np.eye(width)).shape == (total, total)
        assert (scaling.added, scaling.has_splits) == (total - width, total > width)

    def test_the_identity_changes_no_bit(self):
        plain, rows = identity_scaling(6), rows_of(6, 1)
        assert not plain.has_splits
        assert plain.alpha is None
        np.testing.assert_array_equal(plain.activation(rows), rows)
        np.testing.assert_array_equal(plain.matrix(rows.T), rows.T)
        np.testing.assert_array_equal(plain.hessian(np.eye(6)), np.eye(6))

    def test_splitting_alone_changes_no_weight(self):
        """So that split channels cost no precision of the weights."""
        splits = np.array([1, 3, 1, 2])
        scaling = ChannelScaling(splits, np.repeat(splits, splits).astype(np.float32), None)
        matrix = rows_of(4, 1).T
        np.testing.assert_array_equal(scaling.matrix(matrix), np.repeat(matrix, splits, axis=0))
        np.testing.assert_array_equal(scaling.activation(np.float32([[6, 6, 6, 6]])), [[6, 2, 2, 2, 6, 3, 3]])


POSITIVE = st.floats(2.0**-12, 2.0**12, width=32)


class TestSmoothQuant:
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=8), st.sampled_from(ALPHAS))
    def test_scales_are_the_papers_up_to_a_common_factor(self, pairs: list[tuple[float, float]], alpha: float):
        abs_max, weight_max = np.array(pairs, dtype=np.float32).T
        found = smoothquant(abs_max, weight_max, alpha)
        paper = np.array([x**alpha / w ** (1 - alpha) for x, w in pairs])
        expected = paper / np.prod(paper) ** (1 / len(paper))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=8), st.sampled_from(ALPHAS))
    def test_their_geometric_mean_is_one(self, pairs: list[tuple[float, float]], alpha: float):
        scales = smoothquant(*np.array(pairs, dtype=np.float32).T, alpha)
        assert np.exp(np.log(scales.astype(np.float64)).mean()) == pytest.approx(1, rel=1e-6)

    def test_all_of_the_difficulty_can_be_moved_to_the_weights(self):
        """Alpha 1: all channels become equally large."""
        abs_max = np.float32([1, 10, 100])
        scaled = abs_max / smoothquant(abs_max, np.float32([7, 1, 3]), 1.0)
        np.testing.assert_allclose(scaled, scaled[0], rtol=1e-6)

    def test_with_an_alpha_of_a_half_activations_and_weights_are_equally_large(self):
        abs_max, weight_max = np.float32([1, 10, 100]), np.float32([7, 1, 3])
        scales = smoothquant(abs_max, weight_max, 0.5)
        ratios = (abs_max / scales) / (weight_max * scales)
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-5)

    def test_rows_of_zeros_have_finite_scales(self):
        scales = smoothquant(np.float32([1, MIN_MAX]), np.float32([0, 0]), 0.5)
        assert np.isfinite(scales).all()
        assert (scales > 0).all()


class TestOutlierSplitting:
    @pytest.mark.parametrize(
        ("width", "added"), [(1, 16), (384, 16), (1536, 16), (1537, 32), (3072, 32), (4096, 48), (96 * 16 * 9, 144)]
    )
    def test_added_channels_are_a_fraction_and_a_multiple(self, width: int, added: int):
        assert added_channels(width) == added
        assert added % SPLIT_MULTIPLE == 0
        assert added * CHANNELS_PER_SPLIT >= width

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.floats(2.0**-10, 2.0**10, width=32), min_size=1, max_size=4), st.integers(0, 6))
    def test_no_other_splits_leave_a_smaller_largest_share(self, abs_max: list[float], added: int):
        found = split_outliers(np.array(abs_max, dtype=np.float32), added)
        assert found.sum() == len(abs_max) + added
        assert found.min() >= 1
        others = itertools.product(range(1, added + 2), repeat=len(abs_max))
        shares = [np.max(np.array(abs_max) / splits) for splits in others if sum(splits) == len(abs_max) + added]
        assert np.max(np.array(abs_max) / found) == pytest.approx(min(shares), rel=1e-6)

    def test_only_what_is_largest_is_split(self):
        assert split_outliers(np.float32([1, 8, 1, 1]), 3).tolist() == [1, 4, 1, 1]
        assert split_outliers(np.float32([6, 9, 1, 1]), 3).tolist() == [2, 3, 1, 1]


def in_float64(
    sample: Sequence[NDArray[np.float32]], matrix: NDArray[np.float32], scaling: ChannelScaling | None, per_token: bool
) -> float:
    """Compute the relative squared error with ONNX's DynamicQuantizeLinear, for each token or text."""
    exact = np.concatenate(sample).astype(np.float64) @ matrix.astype(np.float64)
    factors = np.ones(len(matrix)) if scaling is None else scaling.scales.astype(np.float64)
    splits = np.ones(len(matrix), dtype=int) if scaling is None else scaling.splits
    weights = np.repeat(matrix.astype(np.float64) / splits[:, np.newaxis], splits, axis=0) * factors[:, np.newaxis]
    weight_scales = np.abs(weights).max(axis=0) / 127
    weight_scales[weight_scales == 0] = 1
    weights = np.clip(np.rint(weights / weight_scales), -127, 127) * weight_scales
    products = []
    for text in sample:
        scaled = np.repeat(text.astype(np.float64), splits, axis=1) / factors
        for x in scaled if per_token else [scaled]:
            low, high = min(0, x.min()), max(0, x.max())
            scale = (high - low) / 255 or 1.0
            zero = np.clip(np.rint(0 - low / scale), 0, 255)
            quantized = np.clip(np.rint(x / scale) + zero, 0, 255)
            products.append(np.atleast_2d((quantized - zero) * scale @ weights))
    return float(np.square(np.concatenate(products) - exact).sum() / np.square(exact - exact.mean(axis=0)).sum())


def a_sample(seed: int = 1, sizes: NDArray[np.float64] | float = 1.0) -> tuple[NDArray[np.float32], ...]:
    random = np.random.default_rng(seed)
    return tuple((random.standard_normal((n, WIDTH)) * sizes + 0.3).astype(np.float32) for n in (7, TOKENS - 8, 1))


def a_matrix(seed: int = 2) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((WIDTH, COLUMNS)).astype(np.float32)


def uneven() -> NDArray[np.float64]:
    return np.exp(np.random.default_rng(9).uniform(-3, 3, WIDTH))


def one_outlier(size: float = 30.0) -> NDArray[np.float64]:
    sizes = np.ones(WIDTH)
    sizes[5] = size
    return sizes


def observed(sample: Sequence[NDArray[np.float32]]) -> ActivationStats:
    rows = np.concatenate(sample)
    return ActivationStats(tuple(sample), np.abs(rows).max(axis=0), rows.T.astype(np.float64) @ rows / len(rows))


def an_input(norm: Norm | None = None, producers: Producers | None = None) -> LinearInput:
    return LinearInput("x", ("first", "second"), WIDTH, norm, producers)


def halves() -> list[NDArray[np.float32]]:
    return [a_matrix()[:, :5], a_matrix()[:, 5:]]


def tried(sample: Sequence[NDArray[np.float32]], producers: Producers | None = None) -> list[ChannelScaling]:
    return list(scalings(an_input(producers=producers), observed(sample), a_matrix()))


class TestError:
    @pytest.mark.parametrize("sizes", [np.ones(WIDTH), uneven(), one_outlier(), 0.01 * one_outlier()])
    @pytest.mark.parametrize("which", [None, *range(len(ALPHAS) + len(SPLIT_ALPHAS))])
    def test_it_is_that_of_onnxs_operators_in_float64(self, sizes: NDArray[np.float64], which: int | None):
        sample = a_sample(sizes=sizes)
        scaling = None if which is None else tried(sample, PRODUCERS)[which]
        both = [in_float64(sample, a_matrix(), scaling, per_token) for per_token in (False, True)]
        assert squared_error(sample, a_matrix(), scaling, STOCK) == pytest.approx(sum(both) / 2, rel=2e-3)

    def test_the_identity_has_the_error_of_no_scaling(self):
        sample = a_sample()
        plain = squared_error(sample, a_matrix(), None, STOCK)
        assert squared_error(sample, a_matrix(), identity_scaling(WIDTH), STOCK) == plain

    @pytest.mark.parametrize("sign", [1, -1])
    def test_texts_of_one_sign_and_of_zeros_are_rounded_as_onnx_does(self, sign: int):
        """Zero is always one of the levels."""
        sample = (*(sign * (np.abs(text) + 1) for text in a_sample()), np.zeros((3, WIDTH), dtype=np.float32))
        both = [in_float64(sample, a_matrix(), None, per_token) for per_token in (False, True)]
        assert squared_error(sample, a_matrix(), None, STOCK) == pytest.approx(sum(both) / 2, rel=2e-3)

    def test_an_input_that_never_changes_has_an_error_as_well(self):
        sample = (np.zeros((4, WIDTH), dtype=np.float32),)
        assert squared_error(sample, a_matrix(), None, STOCK) == 0


def test_every_alpha_is_tried_and_splitting_where_that_is_possible():
    sample = a_sample(sizes=uneven())
    abs_max, weight_max = observed(sample).abs_max, np.abs(a_matrix()).max(axis=1)
    plain, with_splits = tried(sample), tried(sample, PRODUCERS)
    assert [scaling.alpha for scaling in plain] == list(ALPHAS)
    for scaling, alpha in zip(plain, ALPHAS, strict=True):
        np.testing.assert_array_equal(scaling.scales, smoothquant(abs_max, weight_max, alpha))
        assert not scaling.has_splits
    assert [scaling.alpha for scaling in with_splits] == [*ALPHAS, *SPLIT_ALPHAS]
    for scaling, alpha in zip(with_splits[len(ALPHAS) :], SPLIT_ALPHAS, strict=True):
        scales = np.ones(WIDTH) if alpha is None else smoothquant(abs_max, weight_max, alpha)
        assert scaling.splits.tolist() == split_outliers(abs_max / scales, added_channels(WIDTH)).tolist()
        np.testing.assert_allclose(scaling.scales, np.repeat(scales * scaling.splits, scaling.splits), rtol=1e-6)


def test_a_channel_that_is_silent_in_all_texts_is_not_scaled_up_without_bound():
    """Otherwise the first text in which it is not silent would get its scale from that channel alone."""
    sizes = np.ones(WIDTH)
    sizes[3] = 1e-9
    smoothed = [scaling for scaling in tried(a_sample(sizes=sizes)) if scaling.alpha is not None]
    assert smoothed
    for scaling in smoothed:
        assert scaling.scales[3] > 0.003 * np.median(scaling.scales)


def test_channels_that_are_always_zero_have_finite_scales():
    sizes = uneven()
    sample = tuple(text * (np.arange(WIDTH) != 3) for text in a_sample(sizes=sizes))
    for scaling in tried(tuple(text.astype(np.float32) for text in sample), PRODUCERS):
        assert np.isfinite(scaling.scales).all()
        assert (scaling.scales > 0).all()


class TestChoice:
    def test_channels_of_uneven_size_are_smoothed(self):
        sample = a_sample(sizes=uneven())
        choice = choose(an_input(), observed(sample), halves(), STOCK)
        assert choice.scaling is not None
        assert choice.scaling.alpha in ALPHAS
        assert not choice.scaling.has_splits
        assert choice.error**2 < MAX_ERROR_RATIO * choice.plain_error**2

    def test_an_outlier_is_split_where_that_is_possible(self):
        """Smoothing cannot move the outlier into weights of similar size."""
        random = np.random.default_rng(2)
        signs, sizes = random.choice([-1.0, 1.0], (WIDTH, COLUMNS)), random.uniform(0.5, 1, (WIDTH, COLUMNS))
        sample = a_sample(sizes=one_outlier())
        choice = choose(an_input(producers=PRODUCERS), observed(sample), [(signs * sizes).astype(np.float32)], STOCK)
        assert choice.scaling is not None
        assert choice.scaling.added == added_channels(WIDTH)
        assert np.argmax(choice.scaling.splits) == 5
        assert choice.error < 0.5 * choice.plain_error

    def test_an_outlier_is_not_split_elsewhere(self):
        choice = choose(an_input(norm=NORM), observed(a_sample(sizes=one_outlier())), halves(), STOCK)
        assert choice.scaling is not None
        assert not choice.scaling.has_splits

    @pytest.mark.parametrize("producers", [None, PRODUCERS])
    def test_where_nothing_helps_channels_stay_as_they_are(self, producers: Producers | None):
        """Two values only, the same in all channels: they are rounded without an error."""
        random = np.random.default_rng(3)
        sample = (random.choice([-1.0, 1.0], (TOKENS, WIDTH)).astype(np.float32) * np.float32(127) + 0.5,)
        matrix = random.choice([-1.0, 1.0], (WIDTH, COLUMNS)).astype(np.float32)
        choice = choose(an_input(norm=NORM, producers=producers), observed(sample), [matrix], STOCK)
        assert choice.scaling is None
        assert choice.error == choice.plain_error

    def test_what_is_gained_must_be_worth_a_node_and_costs_nothing_in_a_norm(self):
        """Slightly uneven channels: the gain is between the two limits."""
        sizes = np.exp(np.random.default_rng(9).uniform(-0.25, 0.25, WIDTH))
        sample = a_sample(sizes=sizes)
        least = min(squared_error(sample, a_matrix(), scaling, STOCK) for scaling in tried(sample))
        plain = squared_error(sample, a_matrix(), None, STOCK)
        assert MAX_ERROR_RATIO * plain < least < plain
        alone, folded = (choose(an_input(norm=norm), observed(sample), halves(), STOCK) for norm in (None, NORM))
        assert alone.scaling is None
        assert alone.error == pytest.approx(plain**0.5)
        assert folded.scaling is not None
        assert folded.error == pytest.approx(least**0.5)

    def test_native_kernels_smooth_at_no_cost_and_split_only_what_is_worth_it(self):
        sample = a_sample(sizes=one_outlier(3))
        plain = squared_error(sample, a_matrix(), None, NATIVE)
        candidates = tried(sample, PRODUCERS)
        errors = [(squared_error(sample, a_matrix(), scaling, NATIVE), scaling) for scaling in candidates]
        smoothed = min(error for error, scaling in errors if not scaling.has_splits)
        split = min(error for error, scaling in errors if scaling.has_splits)
        choice = choose(an_input(producers=PRODUCERS), observed(sample), halves(), NATIVE)
        assert choice.error**2 == pytest.approx(min((smoothed, smoothed), (plain, plain), (split / 0.8, split))[1])
        without = choose(an_input(), observed(sample), halves(), NATIVE)
        assert without.error**2 == pytest.approx(min(smoothed, plain))

    @pytest.mark.parametrize("producers", [None, PRODUCERS])
    @pytest.mark.parametrize("sizes", [uneven(), one_outlier(), one_outlier(3)])
    def test_the_smallest_error_is_chosen(self, sizes: NDArray[np.float64], producers: Producers | None):
        sample = a_sample(sizes=sizes)
        choice = choose(an_input(norm=NORM, producers=producers), observed(sample), halves(), STOCK)
        errors = [squared_error(sample, a_matrix(), scaling, STOCK) for scaling in tried(sample, producers)]
        assert choice.error == pytest.approx(min(errors) ** 0.5)
        assert choice.plain_error == pytest.approx(squared_error(sample, a_matrix(), None, STOCK) ** 0.5)

    @pytest.mark.parametrize("invalid", [np.nan, np.inf])
    def test_activations_that_are_not_numbers_leave_channels_as_they_are(self, invalid: float):
        sample = a_sample(sizes=uneven())
        sample[1][3, 4] = invalid
        with np.errstate(all="ignore"):
            choice = choose(an_input(norm=NORM, producers=PRODUCERS), observed(sample), halves(), STOCK)
        assert choice.scaling is None

    def test_the_choice_is_the_same_every_time(self):
        sample = a_sample(sizes=one_outlier())
        first, second = (choose(an_input(producers=PRODUCERS), observed(sample), halves(), STOCK) for _ in range(2))
        assert first.scaling is not None
        assert second.scaling is not None
        assert first.scaling.splits.tolist() == second.scaling.splits.tolist()
        assert (first.error, first.plain_error) == (second.error, second.plain_error)

    def test_a_scaling_whose_error_is_nan_does_not_keep_others_from_being_chosen(self, monkeypatch: pytest.MonkeyPatch):
        sample = a_sample(sizes=uneven())
        good = tried(sample)[1]
        bad = ChannelScaling(good.splits, np.full(WIDTH, np.nan, dtype=np.float32), 0.1)
        monkeypatch.setattr("build.quantization.smoothing.scalings", lambda *_: iter([bad, good]))
        with np.errstate(all="ignore"):
            assert choose(an_input(), observed(sample), halves(), STOCK).scaling is good
