"""When the next worker starts after one that ended, and when the server gives up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.server.restarts import DELAYS, MOST_BEFORE_READY, MOST_IN_A_ROW, STEADY_SECONDS, Restarts

LIVES = st.tuples(st.floats(0, 1000), st.none() | st.floats(0, 1000))
"""How long a worker took to become ready, and for how long it then was; None: it never became ready."""


def waits(*lives: tuple[float, float | None]) -> list[float | None]:
    """What is decided at the end of each life, one after another."""
    restarts, now, decisions = Restarts(), 0.0, []
    for loading, ready in lives:
        ready_at = None if ready is None else now + loading
        now += loading + (ready or 0.0)
        decisions.append(restarts.worker_ended(now, ready_at))
        now += decisions[-1] or 0.0
    return decisions


def test_pauses_grow_while_workers_end_soon():
    assert waits(*[(1.0, 5.0)] * 10) == [0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0, None]


def test_before_any_was_ready_the_server_gives_up_sooner():
    assert waits(*[(100.0, None)] * 5) == [0.0, 0.5, 1.0, 2.0, None]


def test_loading_for_long_is_no_service():
    """A large model that is killed whenever it has nearly been loaded."""
    assert waits(*[(600.0, None)] * MOST_BEFORE_READY)[-1] is None


def test_one_that_was_ready_lets_its_successors_try_more_often():
    assert waits((1.0, 1.0), *[(1.0, None)] * 9).index(None) == MOST_IN_A_ROW - 1


@pytest.mark.parametrize(("seconds", "wait"), [(STEADY_SECONDS, 0.0), (STEADY_SECONDS - 1, 4.0)])
def test_a_minute_of_service_ends_a_row(seconds: float, wait: float):
    assert waits(*[(1.0, 5.0)] * 6, (1.0, seconds))[-1] == wait


@given(st.lists(LIVES, min_size=1, max_size=40))
def test_the_first_end_after_a_steady_worker_costs_nothing_and_rows_are_bounded(lives):
    decisions = waits(*lives)
    row = 0
    for (_, ready), decision in zip(lives, decisions, strict=True):
        steady = ready is not None and ready >= STEADY_SECONDS + 1e-6
        row = 1 if steady else row + 1
        if steady:
            assert decision == DELAYS[0]
        assert decision in (None, *DELAYS)
        if row > MOST_IN_A_ROW:
            assert decision is None
        if decision is None:
            break
