"""Short jobs that are alone: they run on the event loop's thread if their runs are quick, and on others if not."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.metrics.layout import QUEUE_SECONDS, QUEUED
from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.job import Step, Steps
from runtime.scheduling.lone_jobs import IN_A_ROW, LONGEST_SECONDS, MEASURED_RUNS, LoneJobs
from runtime.scheduling.scheduler import Scheduler
from tests.support.scheduling import CallBatch, Gate, SetLoop, on_set_clock, submitted

SIZE = 20
SLOW = 2 * LONGEST_SECONDS


def measured(*seconds: float, size: int = SIZE) -> LoneJobs:
    lone = LoneJobs(lambda run: run)
    for each in seconds:
        lone.measure(size, each)
    return lone


@given(st.floats(0, 10 * LONGEST_SECONDS))
def test_runs_are_quick_once_enough_of_their_size_were_measured_and_not_too_long(seconds: float):
    assert not measured(*[seconds] * (MEASURED_RUNS - 1)).is_quick(SIZE)
    assert measured(*[seconds] * MEASURED_RUNS).is_quick(SIZE) == (seconds <= LONGEST_SECONDS)


def test_a_size_says_nothing_of_another_and_what_is_less_than_twice_as_much_is_the_same():
    lone = measured(*[0.0] * MEASURED_RUNS, size=16)
    assert [size for size in range(1, 100) if lone.is_quick(size)] == list(range(16, 32))


def test_a_first_run_that_was_slow_is_outweighed_by_those_that_follow():
    lone = measured(SLOW, *[LONGEST_SECONDS / 2] * MEASURED_RUNS)
    assert not lone.is_quick(SIZE)
    for _ in range(20):
        lone.measure(SIZE, LONGEST_SECONDS / 2)
    assert lone.is_quick(SIZE)


def test_runs_that_have_become_slow_are_not_quick():
    lone = measured(*[LONGEST_SECONDS / 2] * MEASURED_RUNS)
    for _ in range(20):
        lone.measure(SIZE, SLOW)
    assert not lone.is_quick(SIZE)


@pytest.mark.parametrize(("in_flight", "requests"), [(1, 1), (0, 2)])
def test_a_job_is_alone_once_enough_came_alone_in_a_row(in_flight: int, requests: int):
    lone = LoneJobs(lambda run: run)
    for _ in range(2):
        assert [lone.arrives(0) for _ in range(IN_A_ROW + 2)] == [False] * IN_A_ROW + [True] * 2
        lone.requests = lambda: requests
        assert not lone.arrives(in_flight)
        lone.requests = lambda: 1


def test_who_looks_around_sees_what_came_in_the_meantime_every_few_jobs():
    async def main() -> list[bool]:
        lone, seen = LoneJobs(lambda run: run), []
        for _ in range(2 * IN_A_ROW - 1):
            lone.arrives(0)
        for _ in range(2):
            asyncio.get_running_loop().call_soon(setattr, lone, "requests", lambda: 2)
            await lone.look_around()
            lone.requests = lambda: 1
            seen.append(lone.arrives(0))
        return seen

    assert asyncio.run(main()) == [True, False]


class Watch:
    """A clock that runs put forward, and stands still otherwise."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Served:
    """A scheduler that runs quick lone jobs on the event loop, and what it ran: a name, the cores, and where."""

    def __init__(self, begin: Callable[[Any], Steps[Any]] | None = None, cores: int = 2) -> None:
        self.watch, self.requests, self.gate, self.figures = Watch(), 1, Gate(), WorkFigures()
        self.seconds = 0.0
        """What a run takes."""
        self.during: Callable[[], object] = lambda: None
        self.runs: list[tuple[Any, int, bool]] = []
        lone = LoneJobs(lambda run: SIZE)
        lone.requests = lambda: self.requests
        self.scheduler = Scheduler[Any](
            self.gate.before(begin or self.one_run), CallBatch, cores, clock=self.watch, figures=self.figures, lone=lone
        )
        self.scheduler.start()

    def one_run(self, item: Any) -> Steps[Any]:
        return (yield self.step(item))

    def step(self, item: Any, left: int = 1) -> Step:
        return Step(functools.partial(self._run, item), left)

    def _run(self, item: Any, cores: int) -> Any:
        self.runs.append((item, cores, threading.current_thread() is threading.main_thread()))
        self.watch.now += self.seconds
        self.during()
        if isinstance(item, Exception):
            raise item
        return item

    async def warm_up(self) -> None:
        """Measure runs, one after another, so that those that follow are known and alone."""
        for number in range(max(MEASURED_RUNS, IN_A_ROW)):
            assert await self.submit(number) == number
        # On threads, a lone job is over before its thread has noticed.
        while self.scheduler.idle_threads < 2:
            await asyncio.sleep(0)
        self.runs.clear()

    async def submit(self, item: Any, **how: Any) -> Any:
        return await self.scheduler.submit(item, **{"is_short": True, **how})


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.scheduler.stop()


ON_LOOP, ON_THREAD = True, False


def test_the_first_runs_are_measured_on_threads_and_the_next_run_on_the_event_loop_on_all_cores(served: Served):
    async def main():
        return [await served.submit(number) for number in range(MEASURED_RUNS + 2)]

    assert asyncio.run(main()) == list(range(MEASURED_RUNS + 2))
    assert served.runs == [(n, 2, n >= MEASURED_RUNS) for n in range(MEASURED_RUNS + 2)]


def test_runs_that_take_too_long_stay_on_threads(served: Served):
    served.seconds = SLOW

    async def main():
        await served.warm_up()
        await served.submit("next")

    asyncio.run(main())
    assert served.runs == [("next", 2, ON_THREAD)]


def test_runs_that_become_slow_on_the_event_loop_leave_it(served: Served):
    async def main():
        await served.warm_up()
        served.seconds = 100 * LONGEST_SECONDS
        await served.submit("the last")
        await served.submit("next")

    asyncio.run(main())
    assert served.runs == [("the last", 2, ON_LOOP), ("next", 2, ON_THREAD)]


def test_a_job_that_is_not_short_runs_on_a_thread(served: Served):
    async def main():
        await served.warm_up()
        await served.submit("long", is_short=False)

    asyncio.run(main())
    assert served.runs == [("long", 2, ON_THREAD)]


def test_while_another_request_is_in_progress_a_job_runs_on_a_thread(served: Served):
    async def main():
        await served.warm_up()
        served.requests = 2
        await served.submit("in company")

    asyncio.run(main())
    assert served.runs == [("in company", 2, ON_THREAD)]


def test_while_another_job_is_in_flight_a_job_runs_on_a_thread(served: Served):
    async def main():
        await served.warm_up()
        (company,) = await served.gate.closes(served.scheduler)
        await served.submit("in company")
        served.gate.opened.set()
        await company

    asyncio.run(main())
    assert served.runs == [("in company", 1, ON_THREAD)]


def test_where_requests_come_during_runs_jobs_go_to_threads_before_long(served: Served):
    """Else two callers would take turns, each alone in its own, and none would have a core of its own."""

    async def main():
        await served.warm_up()
        loop = asyncio.get_running_loop()

        def during() -> None:
            if served.runs[-1][2] is ON_LOOP:
                loop.call_soon(setattr, served, "requests", 2)

        served.during = during
        for number in range(3 * IN_A_ROW):
            await served.submit(number)
            # The one that has come is the next.
            served.requests = 1

    asyncio.run(main())
    places = [where for _, _, where in served.runs]
    assert places == [ON_LOOP] * IN_A_ROW + [ON_THREAD] * IN_A_ROW + [ON_LOOP] * IN_A_ROW


@pytest.mark.parametrize("item", ["a result", ValueError("an error of the run")])
def test_a_job_on_the_event_loop_gives_its_result_or_error_at_once_and_counts_as_one_that_did_not_wait(
    served: Served, item: object
):
    async def main():
        await served.warm_up()
        counts = counted(served.figures)
        submitting = served.submit(item, key="key", deadline=0.0)
        with pytest.raises(StopIteration) if isinstance(item, str) else pytest.raises(ValueError) as info:
            submitting.send(None)
        assert item in (info.value, getattr(info.value, "value", None))
        assert counted(served.figures) == [counts[0], counts[1] + 1]
        assert served.scheduler.in_flight == 0
        return await served.submit("next", key="key")

    assert asyncio.run(main()) == "next"
    assert [where for _, _, where in served.runs] == [ON_LOOP, ON_LOOP]


def counted(figures: WorkFigures) -> list[float]:
    """How many jobs wait, and how many did not have to."""
    numbers = figures._numbers
    return [numbers[QUEUED.start], numbers[QUEUE_SECONDS.start]]


def test_an_error_before_the_first_run_reaches_the_caller():
    def begin(item: Any) -> Steps[Any]:
        if item == "refused":
            raise ValueError(item)
        return (yield served.step(item))

    served = Served(begin)

    async def main():
        await served.warm_up()
        with pytest.raises(ValueError, match="refused"):
            await served.submit("refused")

    asyncio.run(main())
    served.scheduler.stop()
    assert not served.runs


def test_a_job_that_turns_out_to_have_more_steps_goes_on_on_a_thread():
    def begin(item: Any) -> Steps[Any]:
        if item == "pauses":
            yield Step(None, 1)
        if item == "has two runs":
            yield served.step("first of 2", left=2)
        if item == "has one more than it said":
            yield served.step("first of 1")
        return (yield served.step(item))

    served = Served(begin)
    items = ["pauses", "has two runs", "has one more than it said"]

    async def main():
        await served.warm_up()
        for item in items:
            assert await served.submit(item, key=item) == item
            while served.scheduler.idle_threads < 2:
                await asyncio.sleep(0)

    asyncio.run(main())
    served.scheduler.stop()
    assert [(name, where) for name, _, where in served.runs] == [
        ("pauses", ON_THREAD),
        ("first of 2", ON_THREAD),
        ("has two runs", ON_THREAD),
        ("first of 1", ON_LOOP),
        ("has one more than it said", ON_THREAD),
    ]


def test_a_job_that_a_thread_goes_on_with_is_shared_and_cancelled_as_any_other():
    gate = Gate()

    def begin(item: Any) -> Steps[Any]:
        yield served.step("first", left=2)
        return (yield Step(lambda cores: gate.entered.release() or gate.opened.wait(), 1))

    served = Served(begin)

    async def main():
        first, second = await submitted(served.scheduler, ["same"] * 2, key="same", is_short=True)
        assert await asyncio.to_thread(gate.entered.acquire)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.opened.set()
        return await second

    assert asyncio.run(main()) is True
    served.scheduler.stop()
    assert len(served.runs) == 1


def test_a_deadline_that_is_over_does_not_reach_a_job_that_has_run(served: Served):
    async def main(loop: SetLoop):
        await served.warm_up()
        served.during = lambda: setattr(loop, "ahead", 10.0)
        return await served.submit("late", deadline=loop.time() + 1.0)

    assert on_set_clock(main) == "late"
    assert served.runs == [("late", 2, ON_LOOP)]


def test_one_core_is_all_cores():
    served = Served(cores=1)

    async def main():
        return [await served.submit(number) for number in range(MEASURED_RUNS + 1)]

    asyncio.run(main())
    served.scheduler.stop()
    assert [where for _, _, where in served.runs] == [ON_THREAD] * MEASURED_RUNS + [ON_LOOP]
