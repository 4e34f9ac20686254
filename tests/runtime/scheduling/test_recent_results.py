"""Recent results: found by key while they are young, and bounded in bytes whatever is put."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.scheduling.recent_results import RecentResults


class Clock:
    """Shows the same time until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_result_is_found_by_its_key():
    recent: RecentResults[str] = RecentResults(100, 60.0, Clock())
    recent.put("key", "value", 10)
    assert recent.get("key") == "value"
    assert recent.get("another") is None


def test_a_result_is_kept_for_its_time_and_not_longer_however_often_it_is_used():
    clock = Clock()
    recent: RecentResults[str] = RecentResults(100, 60.0, clock)
    recent.put("key", "value", 10)
    clock.now = 59.0
    assert recent.get("key") == "value"
    clock.now = 60.0
    assert recent.get("key") is None
    assert recent.size == 0


def test_what_was_not_used_for_the_longest_time_makes_way():
    recent: RecentResults[str] = RecentResults(30, 60.0, Clock())
    for key in "abc":
        recent.put(key, key, 10)
    recent.get("a")
    recent.put("d", "d", 10)
    assert [recent.get(key) for key in "abcd"] == ["a", None, "c", "d"]


def test_what_is_put_again_replaces_what_was_there_and_is_young():
    clock = Clock()
    recent: RecentResults[str] = RecentResults(30, 60.0, clock)
    recent.put("a", "old", 10)
    clock.now = 59.0
    recent.put("a", "new", 20)
    clock.now = 100.0
    assert (recent.get("a"), recent.size) == ("new", 20)


def test_a_result_that_is_larger_than_all_that_may_be_kept_removes_nothing_else():
    recent: RecentResults[str] = RecentResults(30, 60.0, Clock())
    recent.put("a", "a", 30)
    recent.put("b", "b", 31)
    assert [recent.get(key) for key in "ab"] == ["a", None]
    recent.put("a", "a", 31)
    assert recent.get("a") is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40), st.integers(0, 30))))
def test_never_more_bytes_are_kept_than_allowed_and_they_are_counted_exactly(puts: list[tuple[int, int, int]]):
    clock = Clock()
    recent: RecentResults[int] = RecentResults(100, 60.0, clock)
    last: dict[int, int] = {}
    for key, size, seconds in puts:
        clock.now += seconds
        recent.put(key, size, size)
        last[key] = size
        assert recent.size <= 100
    found = {key: value for key in last if (value := recent.get(key)) is not None}
    assert found.items() <= last.items()
    assert recent.size == sum(found.values())
