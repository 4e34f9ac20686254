"""What happens when."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.soak.plan import START_SECONDS, Plan

PLAN = Plan(seconds=600, restart_seconds=120, in_flight=160, leavers=8, slow=20, max_requests=1000)
SECONDS = st.floats(10, 10_000)
PLANS = st.builds(lambda seconds, restarts: replace(PLAN, seconds=seconds, restart_seconds=restarts), SECONDS, SECONDS)


@pytest.mark.parametrize(
    ("seconds", "every", "restarts"),
    [
        (600, 120, (120, 240, 360, 480)),
        (60, 20, (20, 40)),
        (60, 22.5, (22.5, 45)),
        (60, 23, (23,)),
        (60, 120, ()),
        (10, 10, ()),
    ],
)
def test_replacements_come_at_regular_times_and_the_last_is_over_before_the_end(seconds, every, restarts):
    assert replace(PLAN, seconds=seconds, restart_seconds=every).restarts == restarts


def test_a_longer_drain_must_be_over_as_well():
    assert replace(PLAN, drain_seconds=113).restarts == (120, 240, 360, 480)
    assert replace(PLAN, drain_seconds=114).restarts == (120, 240, 360)


@given(plan=PLANS)
def test_each_replacement_has_its_time(plan):
    moments = [0.0, *plan.restarts]
    assert all(later - earlier == pytest.approx(plan.restart_seconds) for earlier, later in itertools.pairwise(moments))
    assert plan.restarts == () or plan.restarts[-1] + START_SECONDS + 8 <= plan.seconds + 1e-6
    assert moments[-1] + plan.restart_seconds + START_SECONDS + 8 > plan.seconds - 1e-6


@given(plan=PLANS, now=st.floats(0, 10_000), takes=st.floats(0, 1000))
def test_what_may_begin_is_over_before_the_next_break(plan, now, takes):
    breaks = [at for at in (*plan.restarts, plan.seconds) if at > now]
    expected = now + takes <= min(breaks, default=plan.seconds)
    assert plan.may_begin(now, takes) == expected
