"""One job: its steps, and what its callers get, whatever becomes of either."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator

import pytest

from runtime.scheduling.job import Job, Step


def two_runs(log: list) -> Generator[Step, object, str]:
    """Yields a run, a pause and a run, logs what it is sent, and returns that."""
    try:
        log.append((yield Step("first", 3)))
        log.append((yield Step(None, 2)))
        log.append((yield Step("second", 1)))
        return " and ".join(map(str, log))
    finally:
        log.append("closed")


def with_job(steps: Generator, use: Callable[[Job, asyncio.Future], object]) -> object:
    """What ``use`` returns, given a job and the future of its caller on a running event loop."""

    async def main():
        loop = asyncio.get_running_loop()
        job, future = Job(steps, loop), loop.create_future()
        job.waiters.add(future)
        assert job.loop is loop
        return use(job, future)

    return asyncio.run(main())


def test_a_job_goes_from_run_to_run_until_it_settles_with_the_result():
    def use(job, future):
        assert not job.prepare()
        assert (job.run, job.cost) == ("first", 3)
        assert not job.resume("one")
        assert (job.run, job.cost) == (None, 2)
        assert not job.prepare()
        assert (job.run, job.cost) == ("second", 1)
        assert not job.has_outcome
        assert job.resume("two")
        assert job.has_outcome
        assert not future.done()
        job.settle()
        return future.result()

    assert with_job(two_runs([]), use) == "one and None and two"


def test_preparing_again_leaves_the_pending_run_as_it_is():
    def use(job, future):
        assert not job.prepare()
        assert not job.prepare()
        return job.run

    assert with_job(two_runs([]), use) == "first"


def test_an_exception_as_a_result_is_raised_in_the_steps_and_reaches_the_caller():
    log: list = []

    def use(job, future):
        job.prepare()
        assert job.resume(ValueError("bad run"))
        job.settle()
        with pytest.raises(ValueError, match="bad run"):
            future.result()

    with_job(two_runs(log), use)
    assert log == ["closed"]


def test_steps_may_catch_the_exception_of_a_run():
    def forgiving():
        try:
            yield Step("first", 1)
        except ValueError:
            yield Step("instead", 1)

    def use(job, future):
        job.prepare()
        assert not job.resume(ValueError("bad run"))
        return job.run

    assert with_job(forgiving(), use) == "instead"


def test_a_job_may_end_without_a_run():
    def at_once():
        return "done"
        yield

    def use(job, future):
        assert job.prepare()
        job.settle()
        return future.result()

    assert with_job(at_once(), use) == "done"


@pytest.mark.parametrize("fails", [False, True])
def test_all_who_await_it_get_the_outcome_but_those_who_have_gone(fails: bool):
    def steps():
        if fails:
            raise ValueError("bad")
        return "done"
        yield

    def use(job, future):
        others = [future.get_loop().create_future() for _ in range(2)]
        job.waiters.update(others)
        others[0].cancel()
        job.prepare()
        job.settle()
        assert others[0].cancelled()
        return [repr(waiter.exception() or waiter.result()) for waiter in (future, others[1])]

    assert with_job(steps(), use) == (["ValueError('bad')"] * 2 if fails else ["'done'"] * 2)


@pytest.mark.parametrize("started", [False, True])
def test_a_job_that_nobody_awaits_is_closed_before_its_next_step(started: bool):
    log: list = []

    def use(job, future):
        if started:
            job.prepare()
        job.waiters.clear()
        assert not job.is_wanted
        assert job.prepare()
        assert not job.has_outcome
        job.settle()
        return future.done()

    assert not with_job(two_runs(log), use)
    assert log == (["closed"] if started else [])


def test_the_result_of_a_run_that_nobody_awaits_any_more_is_dropped():
    log: list = []

    def use(job, future):
        job.prepare()
        job.waiters.clear()
        return job.resume("one")

    assert with_job(two_runs(log), use)
    assert log == ["closed"]


def test_an_error_while_it_is_closed_is_dropped():
    def steps():
        try:
            yield Step("run", 1)
        finally:
            raise ValueError("in finally")

    def use(job, future):
        job.prepare()
        return job.close()

    assert with_job(steps(), use)
