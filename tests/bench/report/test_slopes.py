"""Growth within groups of points: what moves the slope, and what does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.slopes import HOUR, slope_within, thin

VALUES = st.integers(-1000, 1000).map(float)
GROUPS = st.lists(
    st.lists(
        st.tuples(st.integers(0, 500).map(float), VALUES), min_size=4, max_size=12, unique_by=lambda point: point[0]
    ),
    min_size=1,
    max_size=4,
)


class TestSlope:
    def test_of_a_line_is_the_lines(self):
        slope = slope_within([[(at, 7 + 2 * at / HOUR) for at in range(20)]])
        assert slope is not None
        assert slope.per_hour == pytest.approx(2)
        assert slope.low == pytest.approx(2)
        assert slope.high == pytest.approx(2)

    @pytest.mark.parametrize(
        "groups",
        [
            [],
            [[]],
            [[(1.0, 2.0)]],
            [[(1.0, 2.0)], [(5.0, 9.0)]],
            [[(1.0, 2.0), (1.0, 3.0)]],
            [[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]],
        ],
    )
    def test_there_is_none_of_too_few_points(self, groups):
        assert slope_within(groups) is None

    def test_a_few_outliers_do_not_matter(self):
        points = [(float(at), at / HOUR) for at in range(50)]
        for index in (3, 20, 21, 40):
            points[index] = (points[index][0], 1e6)
        slope = slope_within([points])
        assert slope is not None
        assert slope.per_hour == pytest.approx(1)

    @given(groups=GROUPS, levels=st.lists(VALUES, min_size=4, max_size=4))
    def test_the_level_of_a_group_does_not_matter(self, groups, levels):
        moved = [[(at, value + level) for at, value in group] for group, level in zip(groups, levels, strict=False)]
        assert slope_within(moved) == slope_within(groups)

    @given(groups=GROUPS, growth=st.integers(-50, 50))
    def test_what_all_grow_by_is_added(self, groups, growth):
        grown = [[(at, value + growth * at) for at, value in group] for group in groups]
        before, after = slope_within(groups), slope_within(grown)
        for name in ("per_hour", "low", "high"):
            expected = getattr(before, name) + growth * HOUR
            assert math.isclose(getattr(after, name), expected, rel_tol=1e-9, abs_tol=1e-4)

    @given(groups=GROUPS)
    def test_it_is_within_its_interval_and_turns_with_the_values(self, groups):
        slope = slope_within(groups)
        turned = slope_within([[(at, -value) for at, value in group] for group in groups])
        assert slope.low <= slope.per_hour <= slope.high
        assert turned.per_hour == pytest.approx(-slope.per_hour)

    def test_the_interval_holds_the_truth_as_often_as_it_says(self):
        """In 400 samples of noise around a line, with a margin of more than four standard errors."""
        random = np.random.default_rng(1)
        held = 0
        for _ in range(400):
            groups = [
                [(10.0 * at, 3 * at / 360 + noise) for at, noise in enumerate(random.normal(size=15))] for _ in range(3)
            ]
            slope = slope_within(groups)
            held += slope.low <= 3 <= slope.high
        assert 0.9 <= held / 400 <= 1


class TestThin:
    def test_a_point_is_the_median_of_its_time(self):
        points = [(0.0, 1.0), (1.0, 9.0), (2.0, 2.0), (5.0, 4.0), (6.0, 6.0), (14.9, 1.0)]
        assert thin(points, 5.0) == [(1.0, 2.0), (5.5, 5.0), (14.9, 1.0)]

    def test_of_nothing_is_nothing(self):
        assert thin([], 5.0) == []

    @given(group=GROUPS.map(lambda groups: groups[0]), width=st.integers(1, 100).map(float))
    def test_points_are_in_order_and_within_what_was_seen(self, group, width):
        thinned = thin(group, width)
        assert thinned == sorted(thinned)
        assert len({at // width for at, _ in thinned}) == len(thinned) == len({at // width for at, _ in group})
        assert min(value for _, value in group) <= min(value for _, value in thinned)
        assert max(value for _, value in thinned) <= max(value for _, value in group)
