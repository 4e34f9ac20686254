"""Answers over time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.soak.series import windows


def test_each_window_has_its_answers_and_their_percentiles():
    moments = [100.0, 101.0, 109.9, 110.0, 124.0, 125.0, 99.9]
    latencies = [0.1, 0.3, 0.2, 0.5, 0.7, 9.0, 9.0]
    first, second, third = windows(moments, latencies, start=100.0, end=125.0, width=10.0)
    assert (first.at, first.seconds, first.answers, first.goodput) == (0, 10, 3, 0.3)
    assert first.p50_ms == pytest.approx(200)
    assert first.p99_ms == pytest.approx(298)
    assert (second.at, second.answers, second.p50_ms) == (10, 1, 500)
    assert (third.at, third.seconds, third.answers, third.goodput) == (20, 5, 1, 0.2)


def test_a_silent_window_has_no_latency():
    (window,) = windows([], [], 0.0, 7.0, 10.0)
    assert (window.answers, window.p50_ms, window.p99_ms, window.goodput) == (0, 0, 0, 0)


@given(
    moments=st.lists(st.floats(0, 100, exclude_max=True)),
    width=st.floats(0.5, 200),
)
def test_every_answer_is_in_one_window_and_windows_fill_the_time(moments, width):
    found = windows(moments, [1.0] * len(moments), 0.0, 100.0, width)
    assert sum(window.answers for window in found) == len(moments)
    assert sum(window.seconds for window in found) == pytest.approx(100.0)
    assert all(0 < window.seconds <= width for window in found)
