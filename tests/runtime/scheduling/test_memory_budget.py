"""Leases of memory: never more than the total, except for one lease that is alone; none is starved."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.scheduling.memory_budget import MemoryBudget

PATIENCE = 600
TOTAL = 100


class Leases:
    """Leases, each held on a thread of its own until it is ended, and the order in which they were granted."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget, self._entered, self._ends, self._threads = budget, {}, {}, {}
        self.granted: list[int] = []

    def ask(self, size: int) -> None:
        """Returns once the lease is granted or waits, which only the budget itself knows."""
        entered, end = self._entered[size], self._ends[size] = threading.Event(), threading.Event()

        def hold() -> None:
            with self._budget.lease(size):
                self.granted.append(size)
                entered.set()
                assert end.wait(PATIENCE)

        before = self._budget.waiting
        self._threads[size] = threading.Thread(target=hold)
        self._threads[size].start()
        while not entered.wait(0.001) and self._budget.waiting == before:
            assert self._threads[size].is_alive()

    def end(self, size: int) -> None:
        self._ends[size].set()
        self._threads[size].join(PATIENCE)
        assert not self._threads[size].is_alive()

    def are_granted(self, *sizes: int) -> bool:
        return all(self._entered[size].wait(PATIENCE) for size in sizes)


@pytest.fixture
def leases() -> Leases:
    return Leases(MemoryBudget(TOTAL))


def test_leases_that_fit_are_granted_at_once(leases: Leases):
    for size in (50, 30, 20):
        leases.ask(size)
    assert leases.granted == [50, 30, 20]
    for size in (50, 30, 20):
        leases.end(size)


def test_a_lease_that_does_not_fit_waits_until_enough_is_returned(leases: Leases):
    leases.ask(60)
    leases.ask(10)
    leases.ask(50)
    assert leases.granted == [60, 10]
    leases.end(60)
    assert leases.are_granted(50)
    leases.end(10)
    leases.end(50)


def test_more_than_the_total_is_lent_alone(leases: Leases):
    leases.ask(1)
    leases.ask(1000)
    assert leases.granted == [1]
    leases.end(1)
    assert leases.are_granted(1000)
    leases.ask(2)
    assert leases.granted == [1, 1000]
    leases.end(1000)
    assert leases.are_granted(2)
    leases.end(2)


def test_small_leases_do_not_overtake_a_large_one_that_waits(leases: Leases):
    leases.ask(60)
    leases.ask(80)
    leases.ask(5)  # it would fit beside the first
    assert leases.granted == [60]
    leases.ask(30)
    assert leases.granted == [60]
    leases.end(60)
    assert leases.are_granted(80, 5)
    assert 30 not in leases.granted
    leases.end(80)
    assert leases.are_granted(30)
    leases.end(5)
    leases.end(30)


def test_a_lease_also_ends_with_an_error():
    budget = MemoryBudget(TOTAL)
    with pytest.raises(ValueError, match="in the run"), budget.lease(TOTAL):
        raise ValueError("in the run")
    with budget.lease(TOTAL):
        pass


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 150), max_size=60), st.integers(1, 6))
def test_never_more_than_the_total_is_lent_except_to_one_lease_alone(sizes: list[int], threads: int):
    budget, lock = MemoryBudget(TOTAL), threading.Lock()
    held: list[int] = []
    seen: list[tuple[int, int]] = []

    def run(size: int) -> None:
        with budget.lease(size):
            with lock:
                held.append(size)
                seen.append((sum(held), sum(1 for size in held if size)))
            with lock:
                held.remove(size)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, sizes))
    assert len(seen) == len(sizes)
    assert all(total <= TOTAL or count == 1 for total, count in seen)
