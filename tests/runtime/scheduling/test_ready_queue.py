"""The queue of jobs and idle threads: fair shares, waking, removal, the count in flight, and closing."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.scheduling.cost_class import Priority
from runtime.scheduling.ready_queue import ReadyQueue

PATIENCE = 600
"""A test that waits longer than this for a thread fails. In seconds."""


@dataclass(eq=False)
class Task:
    """What the queue knows of a job."""

    name: object = ""
    cost: int = 1
    priority: Priority = Priority.PASSAGE
    since: float = -1.0
    begun: bool = False


class Clock:
    """Shows the same time until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def filled(jobs: int, threads: int = 1) -> ReadyQueue[Task]:
    """A queue of jobs that are called by numbers from 0 on."""
    queue: ReadyQueue[Task] = ReadyQueue(threads, 30.0, Clock())
    for job in range(jobs):
        queue.put(Task(job))
    return queue


def name_of(job: Task | None) -> object:
    return job.name if job is not None else None


def wait_until_idle(queue: ReadyQueue[Task], threads: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while queue.idle != threads:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_first_come_first_served():
    queue = filled(3)
    assert [name_of(queue.next()) for _ in range(3)] == [0, 1, 2]


def test_a_job_has_arrived_when_it_is_put_and_was_begun_when_it_is_taken():
    clock = Clock()
    queue: ReadyQueue[Task] = ReadyQueue(1, 30.0, clock)
    clock.now = 5.0
    job = Task()
    queue.put(job)
    assert (job.since, job.begun) == (5.0, False)
    assert queue.next() is job
    assert (job.since, job.begun) == (5.0, True)


def test_what_has_waited_long_by_the_clock_makes_way():
    clock = Clock()
    queue: ReadyQueue[Task] = ReadyQueue(1, 30.0, clock)
    queue.put(Task("old"))
    clock.now = 29.0
    queue.put(Task("new"))
    clock.now = 30.0
    assert [name_of(queue.next()) for _ in range(2)] == ["new", "old"]


def test_unfinished_jobs_rejoin_before_the_next_one_is_taken():
    queue = filled(2)
    first = queue.next()
    assert first is not None
    assert queue.next([first]) is first
    first.cost = 2
    assert name_of(queue.next([first])) == 1
    assert queue.next() is first


@pytest.mark.parametrize(("seconds", "name"), [(None, "new"), (0.5, "old")])
def test_an_unfinished_job_that_has_waited_long_is_due_once_its_steps_are_measured(seconds: float | None, name: str):
    clock = Clock()
    queue: ReadyQueue[Task] = ReadyQueue(1, 30.0, clock)
    old = Task("old", 2)
    queue.put(old)
    assert queue.next() is old
    clock.now = 20.0
    queue.put(Task("new"))
    assert name_of(queue.next([old], seconds)) == name


def test_a_job_that_is_put_back_first_is_the_next():
    queue = filled(3)
    jobs = [queue.next(), queue.next()]
    for job in jobs:
        queue.put_back(job, first=True)
    assert [name_of(queue.next()) for _ in range(3)] == [1, 0, 2]


@given(st.integers(1, 5), st.integers(1, 20), st.integers(1, 6))
def test_a_thread_takes_more_up_to_its_share_of_what_it_has_and_what_waits(threads: int, jobs: int, taken: int):
    queue = filled(jobs, threads)
    queue.put(Task("long", 2))
    share = -(-(taken + jobs) // threads)
    assert name_of(queue.take_more(Task(), taken)) == (0 if taken < share else None)


def test_there_is_no_more_to_take_where_only_long_jobs_wait():
    queue = filled(0)
    assert queue.take_more(Task(), 0) is None
    queue.put(Task("long", 2))
    assert queue.take_more(Task(), 0) is None
    assert name_of(queue.next()) == "long"


def test_the_thread_that_became_idle_last_is_woken_first():
    queue = filled(0, threads=2)
    with ThreadPoolExecutor(2) as pool:
        waiting: list[Future[Task | None]] = []
        for idle in (1, 2):
            waiting.append(pool.submit(queue.next))
            wait_until_idle(queue, idle)
        queue.put(Task("first"))
        assert name_of(waiting[1].result(PATIENCE)) == "first"
        assert queue.idle == 1
        queue.put_back(Task("second"))
        assert name_of(waiting[0].result(PATIENCE)) == "second"
        assert queue.idle == 0


def test_unfinished_jobs_wake_idle_threads():
    queue = filled(0, threads=2)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(queue.next)
        wait_until_idle(queue, 1)
        assert name_of(queue.next([Task("mine", begun=True), Task("the other's", begun=True)])) == "mine"
        assert name_of(other.result(PATIENCE)) == "the other's"


def test_jobs_are_in_flight_from_put_to_leave_wherever_they_are():
    queue = filled(2)
    queue.put_back(queue.next())
    queue.next([queue.next()])
    assert queue.in_flight == 2
    queue.leave(1)
    assert queue.in_flight == 1


def test_a_job_that_waits_can_be_removed_and_one_that_a_thread_has_cannot():
    queue = filled(2)
    first, second = Task("a"), Task("b")
    queue.put(first)
    queue.put(second)
    assert queue.remove(first)
    assert not queue.remove(first)
    taken = queue.next()
    assert not queue.remove(taken)
    assert queue.in_flight == 3
    assert [name_of(queue.next()) for _ in range(2)] == [1, "b"]


def test_a_query_that_joins_a_job_brings_it_forward():
    queue = filled(2)
    job = Task("a")
    queue.put(job)
    queue.join(job, Priority.QUERY)
    assert name_of(queue.next()) == "a"


def test_jobs_that_are_put_and_leave_on_many_threads_are_counted_exactly():
    queue, start = filled(0), threading.Barrier(8, timeout=PATIENCE)

    def put_and_leave() -> None:
        start.wait()
        for job in range(1000):
            queue.put(Task(job))
            queue.leave(1)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(put_and_leave) for _ in range(8)]:
            future.result(PATIENCE)
    assert queue.in_flight == 0


def test_a_closed_queue_gives_out_what_is_left_and_then_ends_every_thread():
    queue = filled(1)
    queue.close()
    assert name_of(queue.next()) == 0
    assert name_of(queue.next([Task("unfinished")])) == "unfinished"
    assert queue.next() is None


@pytest.mark.parametrize("threads", [1, 3])
def test_closing_ends_threads_that_are_idle(threads: int):
    queue = filled(0, threads)
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(queue.next) for _ in range(threads)]
        wait_until_idle(queue, threads)
        queue.close()
        assert [future.result(PATIENCE) for future in waiting] == [None] * threads


def test_a_job_continues_in_its_turn_only_while_every_other_thread_is_busy():
    queue = filled(1, threads=2)
    job = queue.next()
    assert job is not None
    assert queue.may_continue(job, 1)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(queue.next)
        wait_until_idle(queue, 1)
        assert not queue.may_continue(job, 1)
        queue.close()
        assert other.result(PATIENCE) is None
    assert queue.may_continue(job, 1)
