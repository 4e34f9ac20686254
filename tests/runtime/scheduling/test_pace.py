"""What is known from measured steps: whether all that waits can be served in time, and when a job is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.scheduling.pace import DUE_RATIO, DUE_SHARE, Pace

FRESH_SECONDS = 30.0


def measured(*seconds: float, threads: int = 1) -> Pace:
    pace = Pace(threads, FRESH_SECONDS)
    for each in seconds:
        pace.measure(each)
    return pace


def test_before_a_step_was_measured_nothing_suffices():
    assert not measured().suffices(0)
    assert measured().due_after(1000) == FRESH_SECONDS * DUE_SHARE


@pytest.mark.parametrize("threads", [1, 4])
def test_steps_suffice_up_to_the_time_for_which_a_job_is_fresh(threads: int):
    pace = measured(0.5, threads=threads)
    assert pace.suffices(60 * threads)
    assert not pace.suffices(60 * threads + 1)


def test_a_job_is_due_after_a_share_of_that_time_or_many_times_its_own():
    pace = measured(0.5)
    assert pace.due_after(2) == FRESH_SECONDS * DUE_SHARE
    assert pace.due_after(3) == DUE_RATIO * 3 * 0.5


@given(st.lists(st.floats(0.001, 10.0), min_size=1, max_size=50), st.floats(0.001, 10.0))
def test_the_measured_time_is_between_the_least_and_the_most_and_follows_what_changes(before: list[float], now: float):
    pace = measured(*before, *[now] * 200)
    assert pace.due_after(10**6) == pytest.approx(DUE_RATIO * 10**6 * now, rel=0.05 * max([now, *before]) / now)
    between = measured(*before).due_after(10**6) / (DUE_RATIO * 10**6)
    assert min(before) * 0.999 <= between <= max(before) * 1.001


@given(st.integers(1, 1000), st.integers(1, 1000), st.floats(0.001, 10.0))
def test_fewer_steps_are_never_due_later_and_never_suffice_less(few: int, more: int, seconds: float):
    few, more, pace = min(few, more), max(few, more), measured(seconds)
    assert pace.due_after(few) <= pace.due_after(more)
    assert pace.suffices(few) or not pace.suffices(more)
