"""One job: its steps, and what its caller gets, whatever becomes of either."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator

import pytest

from runtime.scheduling.job import Job, deliver_on


def two_runs(log: list) -> Generator[str, object, str]:
    """Yields two runs, logs their results, and returns those."""
    try:
        log.append((yield "first"))
        log.append((yield "second"))
        return " and ".join(log)
    finally:
        log.append("closed")


def with_job(steps: Generator, use: Callable[[Job, asyncio.Future], object]) -> object:
    """What ``use`` returns, given a job and its future on a running event loop."""

    async def main():
        future = asyncio.get_running_loop().create_future()
        return use(Job(steps, future), future)

    return asyncio.run(main())


def test_a_job_goes_from_run_to_run_until_its_outcome_sets_the_result():
    def use(job, future):
        assert job.start() is None
        assert job.pending == "first"
        assert job.resume("one") is None
        assert job.pending == "second"
        outcome = job.resume("two")
        assert not future.done()
        outcome()
        return future.result()

    assert with_job(two_runs([]), use) == "one and two"


def test_starting_again_leaves_the_pending_run_as_it_is():
    def use(job, future):
        assert job.start() is None
        assert job.start() is None
        return job.pending

    assert with_job(two_runs([]), use) == "first"


def test_an_exception_as_a_result_is_raised_in_the_steps_and_reaches_the_caller():
    log: list = []

    def use(job, future):
        job.start()
        job.resume(ValueError("bad run"))()
        with pytest.raises(ValueError, match="bad run"):
            future.result()

    with_job(two_runs(log), use)
    assert log == ["closed"]


def test_steps_may_catch_the_exception_of_a_run():
    def forgiving():
        try:
            yield "first"
        except ValueError:
            yield "instead"

    def use(job, future):
        job.start()
        assert job.resume(ValueError("bad run")) is None
        return job.pending

    assert with_job(forgiving(), use) == "instead"


def test_a_job_may_end_without_a_run():
    def at_once():
        return "done"
        yield

    def use(job, future):
        job.start()()
        return future.result()

    assert with_job(at_once(), use) == "done"


@pytest.mark.parametrize("started", [False, True])
def test_a_cancelled_job_is_closed_and_its_outcome_is_dropped(started: bool):
    log: list = []

    def use(job, future):
        if started:
            job.start()
        future.cancel()
        job.start()()
        return future.cancelled()

    assert with_job(two_runs(log), use)
    assert log == (["closed"] if started else [])


def test_an_outcome_for_a_caller_that_is_gone_meanwhile_is_dropped():
    def use(job, future):
        job.start()
        job.resume("one")
        outcome = job.resume("two")
        future.cancel()
        outcome()
        return future.cancelled()

    assert with_job(two_runs([]), use)


def test_outcomes_of_another_thread_are_delivered_on_the_loops_own_in_order():
    delivered: list[tuple[int, int]] = []

    async def main():
        loop, all_there = asyncio.get_running_loop(), asyncio.Event()
        outcomes = [lambda n=n: delivered.append((n, threading.get_ident())) for n in range(3)]
        await asyncio.to_thread(deliver_on, loop, [*outcomes, all_there.set])
        await all_there.wait()
        return threading.get_ident()

    own = asyncio.run(main())
    assert delivered == [(n, own) for n in range(3)]


def test_outcomes_for_a_loop_that_is_closed_are_dropped():
    loop = asyncio.new_event_loop()
    loop.close()
    deliver_on(loop, [lambda: pytest.fail("delivered")])
