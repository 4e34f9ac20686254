"""Turns of several steps: how long a job continues, on which cores, and what becomes of it and of the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from runtime.metrics.layout import NUMBERS, RUN_SECONDS, SUM
from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.job import MayContinue, Step, Steps
from runtime.scheduling.scheduler import Scheduler
from tests.support.patience import PATIENCE
from tests.support.scheduling import CallBatch, Run, running


class ConsecutiveBatch(CallBatch):
    """The run of its only job is the runs of several steps. Their results are the result."""

    def run(self, cores: int, may_continue: MayContinue) -> list[object]:
        ((first, *others),) = self._runs
        try:
            results = [first(cores)]
            for run in others:
                if not may_continue(self.steps):
                    break
                self.steps += 1
                results.append(run(cores))
        except Exception as error:
            return [error]
        return [results]


def logging(log: list[str]) -> Callable[[Any], Steps[str]]:
    """Jobs (name, runs): each step asks for all runs that are left, and the number that was made is logged."""

    def begin(item: tuple[str, Sequence[Run]]) -> Steps[str]:
        name, left = item
        while left:
            made = len((yield Step(left, len(left))))
            log.append(f"{name} {made}")
            left = left[made:]
        return name

    return begin


def nothing(cores: int) -> None:
    """A run."""


def finished(main: Callable[[Scheduler[str]], Coroutine[Any, Any, object]], cores: int = 1) -> tuple[object, list[str]]:
    """What the coroutine returns, given a scheduler, and which jobs made how many runs in each of their turns."""
    log: list[str] = []
    scheduler = running(logging(log), cores, ConsecutiveBatch)
    result = asyncio.run(main(scheduler))
    scheduler.stop()
    return result, log


def when_run(loop: asyncio.AbstractEventLoop, what: Callable[[], Coroutine[Any, Any, None]]) -> Run:
    """A run that ends when the coroutine has ended on the event loop."""
    return lambda cores: asyncio.run_coroutine_threadsafe(what(), loop).result(PATIENCE)


def test_a_job_continues_until_one_with_less_to_do_has_come():
    async def main(scheduler: Scheduler[str]) -> list[str]:
        tasks: list[asyncio.Task[str]] = []

        def comes(name: str, cost: int) -> Run:
            async def submit() -> None:
                tasks.append(asyncio.create_task(scheduler.submit((name, [nothing] * cost), cost=cost)))
                await asyncio.sleep(0)

            return when_run(asyncio.get_running_loop(), submit)

        runs = [nothing, comes("similar", 4), nothing, comes("short", 1), nothing, nothing]
        first = await scheduler.submit(("first", runs), cost=len(runs))
        return [first, *[await task for task in tasks]]

    assert finished(main) == (["first", "similar", "short"], ["first 4", "short 1", "first 2", "similar 4"])


def test_a_job_that_nobody_awaits_does_not_continue():
    made: list[str] = []

    async def main(scheduler: Scheduler[str]) -> None:
        async def leave() -> None:
            task.cancel()
            await asyncio.wait([task])

        runs = [when_run(asyncio.get_running_loop(), leave), lambda cores: made.append("another")]
        task = asyncio.create_task(scheduler.submit(("first", runs), cost=2))
        with pytest.raises(asyncio.CancelledError):
            await task

    assert finished(main) == (None, [])
    assert not made


def test_a_run_that_fails_in_a_turn_fails_its_own_job_alone():
    def fail(cores: int) -> None:
        raise ValueError("a step")

    async def main(scheduler: Scheduler[str]) -> list[object]:
        items = [("good", [nothing] * 3), ("bad", [nothing, fail, nothing]), ("also good", [nothing] * 3)]
        jobs = [scheduler.submit(item, cost=3) for item in items]
        return [str(result) for result in await asyncio.gather(*jobs, return_exceptions=True)]

    assert finished(main) == (["good", "a step", "also good"], ["good 3", "also good 3"])


def test_a_lone_job_has_one_step_a_turn_so_that_it_gets_every_core_that_becomes_free():
    used: list[int] = []
    other_runs, other_ends = threading.Event(), threading.Event()

    def wait(cores: int) -> None:
        other_runs.set()
        assert other_ends.wait(PATIENCE)

    async def main(scheduler: Scheduler[str]) -> None:
        async def let_other_end() -> None:
            other_ends.set()
            await other
            while not scheduler.idle_threads:
                await asyncio.sleep(0)

        other = asyncio.create_task(scheduler.submit(("other", [wait])))
        assert await asyncio.to_thread(other_runs.wait, PATIENCE)
        end = when_run(asyncio.get_running_loop(), let_other_end)
        runs: list[Run] = [used.append, used.append, end, used.append, used.append]
        await scheduler.submit(("first", runs), cost=5)

    _, log = finished(main, cores=2)
    assert log == ["other 1", "first 3", "first 1", "first 1"]
    assert used == [1, 1, 1, 2]


def test_each_run_of_a_turn_is_counted_with_its_time():
    now = [0.0]

    def takes(seconds: float) -> Run:
        def run(cores: int) -> None:
            now[0] += seconds

        return run

    figures = WorkFigures()
    row = memoryview(bytearray(8 * NUMBERS)).cast("d")
    figures.open(row)
    scheduler = Scheduler[str](logging([]), ConsecutiveBatch, 1, None, lambda: now[0], figures)
    scheduler.start()
    asyncio.run(scheduler.submit(("a", [takes(0.25), takes(0.5), takes(0.75)]), cost=3))
    scheduler.stop()
    figures.publish()
    assert sum(row[RUN_SECONDS.start : RUN_SECONDS.start + SUM]) == 3
    assert row[RUN_SECONDS.start + SUM] == pytest.approx(1.5)
