"""The queue of jobs and idle threads: order, fair shares, waking, the count in flight, and closing."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.scheduling.ready_queue import ReadyQueue

PATIENCE = 600
"""A test that waits longer than this for a thread fails. In seconds."""


def filled(jobs: int, threads: int = 1) -> ReadyQueue:
    """A queue of numbers from 0 on, in place of jobs: it does not look inside."""
    queue = ReadyQueue(threads)
    for job in range(jobs):
        queue.put(job)
    return queue


def wait_until_idle(queue: ReadyQueue, threads: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while queue.idle != threads:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_first_come_first_served():
    queue = filled(3)
    assert [queue.next() for _ in range(3)] == [0, 1, 2]


def test_unfinished_jobs_rejoin_the_back_before_the_next_one_is_taken():
    queue = filled(2)
    assert queue.next() == 0
    assert queue.next([0]) == 1
    assert queue.next([1]) == 0
    assert queue.next(["a", "b"]) == 1
    assert [queue.next(), queue.next()] == ["a", "b"]


def test_a_job_that_is_put_back_is_the_next():
    queue = filled(2)
    queue.requeue_front(queue.next())
    assert [queue.next(), queue.next()] == [0, 1]


@given(st.integers(1, 5), st.integers(1, 20), st.integers(1, 6))
def test_a_thread_takes_more_up_to_its_share_of_what_it_has_and_what_waits(threads: int, jobs: int, taken: int):
    queue = filled(jobs, threads)
    share = -(-(taken + jobs) // threads)
    assert queue.take_more(taken) == (0 if taken < share else None)


def test_there_is_no_more_to_take_from_an_empty_queue():
    assert filled(0).take_more(0) is None


def test_the_thread_that_became_idle_last_is_woken_first():
    queue = ReadyQueue(2)
    with ThreadPoolExecutor(2) as pool:
        waiting: list[Future] = []
        for idle in (1, 2):
            waiting.append(pool.submit(queue.next))
            wait_until_idle(queue, idle)
        queue.put("first")
        assert waiting[1].result(PATIENCE) == "first"
        assert queue.idle == 1
        queue.requeue_front("second")
        assert waiting[0].result(PATIENCE) == "second"
        assert queue.idle == 0


def test_unfinished_jobs_wake_idle_threads():
    queue = ReadyQueue(2)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(queue.next)
        wait_until_idle(queue, 1)
        assert queue.next(["mine", "the other's"]) == "mine"
        assert other.result(PATIENCE) == "the other's"


def test_jobs_are_in_flight_from_put_to_leave_wherever_they_are():
    queue = filled(2)
    queue.requeue_front(queue.next())
    queue.next([queue.next()])
    assert queue.in_flight == 2
    queue.leave()
    assert queue.in_flight == 1


def test_jobs_that_are_put_and_leave_on_many_threads_are_counted_exactly():
    queue, start = ReadyQueue(1), threading.Barrier(8, timeout=PATIENCE)

    def put_and_leave() -> None:
        start.wait()
        for job in range(1000):
            queue.put(job)
            queue.leave()

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(put_and_leave) for _ in range(8)]:
            future.result(PATIENCE)
    assert queue.in_flight == 0


def test_a_closed_queue_gives_out_what_is_left_and_then_ends_every_thread():
    queue = filled(1)
    queue.close()
    assert queue.next() == 0
    assert queue.next(["unfinished"]) == "unfinished"
    assert queue.next() is None


@pytest.mark.parametrize("threads", [1, 3])
def test_closing_ends_threads_that_are_idle(threads: int):
    queue = ReadyQueue(threads)
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(queue.next) for _ in range(threads)]
        wait_until_idle(queue, threads)
        queue.close()
        assert [future.result(PATIENCE) for future in waiting] == [None] * threads
