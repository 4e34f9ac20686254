"""Shares of memory: never more than the total, first come, first served, nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.http.share import Lease, Share


def test_what_fits_is_granted_at_once_and_the_rest_waits_its_turn():
    share, granted = Share(100), []
    first = share.lease(60, lambda: granted.append("first"))
    second = share.lease(60, lambda: granted.append("second"))
    third = share.lease(10, lambda: granted.append("third"))
    assert (first.is_granted, second.is_granted, third.is_granted) == (True, False, False)
    assert share.is_contended
    first.release()
    assert granted == ["second", "third"]
    assert not share.is_contended


def test_one_larger_than_the_total_goes_alone():
    share = Share(100)
    small = share.lease(10, lambda: None)
    large = share.lease(500, lambda: None)
    behind = share.lease(10, lambda: None)
    assert not large.is_granted
    small.release()
    assert large.is_granted
    assert not behind.is_granted
    large.release()
    assert behind.is_granted


def test_what_is_given_back_early_serves_those_who_wait():
    share = Share(100)
    first = share.lease(100, lambda: None)
    second = share.lease(50, lambda: None)
    first.shrink(50)
    assert second.is_granted
    first.shrink(80)
    assert share.leased == 100


def test_who_leaves_the_line_makes_room_for_those_behind():
    share = Share(100)
    share.lease(60, lambda: None)
    large = share.lease(90, lambda: None)
    small = share.lease(40, lambda: None)
    large.release()
    large.release()
    assert small.is_granted
    assert share.leased == 100


def test_it_says_once_that_all_has_come_back():
    share = Share(100)
    assert not share.was_emptied()
    first, second = (share.lease(60, lambda: None) for _ in range(2))
    assert not share.was_emptied()
    first.release()
    assert second.is_granted
    assert not share.was_emptied()
    second.release()
    assert share.was_emptied()
    assert not share.was_emptied()


@given(st.lists(st.tuples(st.integers(1, 150), st.booleans(), st.integers(0, 20)), max_size=60))
def test_the_total_is_kept_and_everything_comes_back(steps: list[tuple[int, bool, int]]):
    share, leases = Share(100), []
    for size, adds, index in steps:
        if adds or not leases:
            leases.append(share.lease(size, lambda: None))
        else:
            leases.pop(index % len(leases)).release()
        held = [lease.size for lease in leases if lease.is_granted]
        assert share.leased == sum(held)
        assert share.leased <= 100 or len(held) == 1
        waiting = [lease for lease in leases if not lease.is_granted]
        assert not waiting or held
        assert share.is_contended == bool(waiting)
    while leases:
        _first_granted(leases).release()
    assert share.leased == 0


def _first_granted(leases: list[Lease]) -> Lease:
    return leases.pop(next(index for index, lease in enumerate(leases) if lease.is_granted))
