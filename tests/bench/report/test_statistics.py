"""Medians, percentiles, ratios and spreads."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.report.statistics import median, median_ratio, percentile, spread_percent


class TestQuantiles:
    @pytest.mark.parametrize("count", [1, 2, 3, 10, 101])
    @pytest.mark.parametrize("percent", [0, 1, 50, 99, 100])
    def test_are_numpys(self, count: int, percent: float):
        values = np.random.default_rng(count).normal(size=count).tolist()
        assert percentile(values, percent) == pytest.approx(np.percentile(values, percent), rel=1e-12)
        assert median(values) == pytest.approx(np.median(values), rel=1e-12)

    def test_of_nothing_are_not_a_number(self):
        assert math.isnan(percentile([], 50))


def test_a_ratio_is_the_median_of_the_rounds_own():
    assert median_ratio([2, 30, 5], [1, 10, 1]) == 3


def test_the_spread_is_in_percent_of_the_median():
    assert spread_percent([90, 100, 120]) == pytest.approx(30)
