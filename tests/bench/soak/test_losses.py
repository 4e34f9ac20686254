"""What counts as lost, as cut, and as wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.load.exchange import Loss
from bench.soak.losses import SLACK_SECONDS, Drain, LostRequest, sort_losses

DRAIN = Drain(asked_at=100.0, ended_at=108.1, cut=2)
END = 108.05


def closed(at: float) -> LostRequest:
    return LostRequest(at, "somebody", Loss.CLOSED)


def test_what_a_drained_server_closed_at_its_end_is_cut():
    losses = sort_losses([closed(END), closed(END)], [DRAIN], 8.0)
    assert (losses.lost, losses.cut, losses.wrong) == ({}, 2, 0)


def test_more_than_the_server_says_it_cut_is_lost():
    losses = sort_losses([closed(END)] * 5, [DRAIN], 8.0)
    assert (losses.lost, losses.cut) == ({"somebody: closed": 3}, 2)


def test_what_was_closed_before_the_time_to_drain_was_over_is_lost():
    early = closed(DRAIN.asked_at + 8.0 - SLACK_SECONDS - 0.1)
    late = closed(DRAIN.ended_at + SLACK_SECONDS + 0.1)
    assert sort_losses([early, late], [DRAIN], 8.0).lost == {"somebody: closed": 2}


def test_each_server_cuts_its_own():
    drains = [DRAIN, Drain(200.0, 208.1, 0), Drain(300.0, 308.1, 1)]
    losses = sort_losses([closed(END), closed(208.05), closed(308.05)], drains, 8.0)
    assert (losses.lost, losses.cut) == ({"somebody: closed": 1}, 2)


def test_other_reasons_are_never_cut():
    reasons = [Loss.REFUSED, Loss.TIMEOUT, "status 503"]
    losses = sort_losses([LostRequest(END, "somebody", reason) for reason in reasons], [DRAIN], 8.0)
    assert losses.cut == 0
    assert losses.lost == {f"somebody: {reason}": 1 for reason in reasons}


def test_wrong_answers_are_counted_apart():
    losses = sort_losses([LostRequest(END, "somebody", Loss.WRONG), closed(1.0)], [DRAIN], 8.0)
    assert (losses.lost, losses.cut, losses.wrong) == ({"somebody: closed": 1}, 0, 1)


@given(
    moments=st.lists(st.tuples(st.floats(0, 400), st.sampled_from([*Loss, "status 500"]))),
    cuts=st.lists(st.integers(0, 3), max_size=3),
)
def test_each_is_counted_once_and_no_more_are_cut_than_the_logs_say(moments, cuts):
    drains = [Drain(100.0 * number, 100.0 * number + 8, cut) for number, cut in enumerate(cuts)]
    losses = sort_losses([LostRequest(at, "somebody", reason) for at, reason in moments], drains, 8.0)
    assert sum(losses.lost.values()) + losses.cut + losses.wrong == len(moments)
    assert losses.cut <= sum(cuts)
