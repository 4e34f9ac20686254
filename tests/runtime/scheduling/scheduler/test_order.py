"""Which job comes next: the oldest, a short one before a long one, queries before passages."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from runtime.scheduling.cost_class import Priority
from runtime.scheduling.job import Step
from runtime.scheduling.scheduler import Scheduler
from tests.support.patience import PATIENCE
from tests.support.scheduling import CallBatch, Gate, counting, running, submitted


def test_first_come_first_served():
    log: list[tuple[int, int]] = []
    scheduler = running(counting(log), cores=1)

    async def main():
        await asyncio.gather(*(scheduler.submit((n, 1)) for n in range(50)))

    asyncio.run(main())
    scheduler.stop()
    assert log == [(n, 0) for n in range(50)]


def test_a_long_job_that_was_begun_is_finished_before_the_next_but_short_ones_come_first():
    log: list[tuple[str, int]] = []
    gate = Gate()
    scheduler = running(gate.before(counting(log)), cores=1)

    async def main():
        tasks = await gate.closes(scheduler)
        for name, steps in (("a", 3), ("b", 3), ("short", 1), ("c", 2)):
            tasks += await submitted(scheduler, [(name, steps)], cost=steps)
        gate.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    scheduler.stop()
    # The fifth turn is the oldest's, whatever its cost.
    assert "".join(f" {name}{step}" for name, step in log) == " short0 c0 c1 a0 a1 a2 b0 b1 b2"


def test_a_job_that_arrives_between_steps_comes_before_the_next_step():
    log: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def begin(item):
        if item == "long":
            yield Step(hold, 3)
            yield Step(lambda cores: log.append("long goes on"), 2)
        yield Step(lambda cores: log.append(f"{item} ends"), 1)

    def hold(cores):
        log.append("long begins")
        entered.set()
        assert release.wait(PATIENCE)

    scheduler = running(begin, cores=1)

    async def main():
        long = asyncio.create_task(scheduler.submit("long"))
        assert await asyncio.to_thread(entered.wait, PATIENCE)
        short = await submitted(scheduler, ["short"])
        release.set()
        await asyncio.gather(long, *short)

    asyncio.run(main())
    scheduler.stop()
    assert log == ["long begins", "short ends", "long goes on", "long ends"]


def test_a_pause_lets_short_jobs_go_first_and_needs_no_batch():
    log: list[str] = []
    sizes: list[int] = []
    gate = Gate()

    def begin(item):
        log.append(f"{item} begins")
        if item == "long":
            for _ in range(3):
                yield Step(None, 9)
                log.append("long goes on")
        yield Step(lambda cores: log.append(f"{item} runs"), 1)

    scheduler = running(gate.before(begin), 1, lambda: CallBatch(1, sizes))

    async def main():
        tasks = await gate.closes(scheduler) + await submitted(scheduler, ["long"])
        tasks += await submitted(scheduler, ["b", "c"])
        gate.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    scheduler.stop()
    rest = ["b begins", "b runs", "c begins", "c runs", *["long goes on"] * 3, "long runs"]
    assert log == ["long begins", *rest]
    assert sizes == [1, 1, 1]


def test_a_long_job_is_not_begun_while_a_batch_of_short_ones_forms():
    log: list[str] = []
    gate = Gate()

    def begin(item):
        log.append(f"{item} begins")
        yield Step(lambda cores: log.append(f"{item} runs"), 1)

    scheduler = running(gate.before(begin), 1, lambda: CallBatch(8))

    async def main():
        tasks = await gate.closes(scheduler)
        for item, cost in (("a", 1), ("long", 9), ("b", 1)):
            tasks += await submitted(scheduler, [item], cost=cost)
        gate.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    scheduler.stop()
    assert log == ["a begins", "b begins", "a runs", "b runs", "long begins", "long runs"]


def test_queries_come_before_passages():
    log: list[tuple[str, int]] = []
    gate = Gate()
    scheduler = running(gate.before(counting(log)), cores=1)

    async def main():
        tasks = await gate.closes(scheduler) + await submitted(scheduler, [("p", 1)] * 2)
        tasks += await submitted(scheduler, [("q", 1)] * 9, priority=Priority.QUERY)
        gate.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    scheduler.stop()
    assert "".join(name for name, _ in log) == "qqqqpqqqqpq"


def test_a_job_that_is_due_has_every_second_turn_once_a_step_was_measured():
    log: list[tuple[str, int]] = []
    gate = Gate()
    now = 0.0
    scheduler = Scheduler[Any](gate.before(counting(log)), CallBatch, 1, 60.0, lambda: now)
    scheduler.start()

    async def main():
        nonlocal now
        tasks = await gate.closes(scheduler) + await submitted(scheduler, [("L", 4)], cost=4)
        now = 39.0
        tasks += await submitted(scheduler, [("s", 1)] * 8)
        gate.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    scheduler.stop()
    # The fifth turn is the oldest's, whose first step is measured. Its last step is a short one, and was begun.
    assert "".join(name for name, _ in log) == "ssssLLsLLsss"
