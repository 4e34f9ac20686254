"""How many cores a step gets: all of them for a lone job, one each in company."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from runtime.scheduling.job import Step
from tests.support.patience import PATIENCE
from tests.support.scheduling import Gate, running, submitted


def reading_cores(turns: list[threading.Event], read: threading.Semaphore) -> Callable:
    """Reads how many cores each step gets, and signals it; a step ends when its turn is over."""

    def begin(item):
        seen = []
        for turn in turns:
            yield Step(lambda cores, turn=turn: read_cores(seen, cores, turn), 1)
        return seen

    def read_cores(seen, cores, turn):
        seen.append(cores)
        read.release()
        assert turn.wait(PATIENCE)

    return begin


def test_a_lone_job_gets_every_core_and_jobs_in_company_get_one_each():
    alone, together, read = threading.Event(), threading.Event(), threading.Semaphore(0)
    scheduler = running(reading_cores([alone, together], read), cores=2)

    async def main():
        tasks = await submitted(scheduler, ["first"])
        assert await asyncio.to_thread(read.acquire, timeout=PATIENCE)
        tasks += await submitted(scheduler, ["second"])
        alone.set()
        for _ in range(3):
            assert await asyncio.to_thread(read.acquire, timeout=PATIENCE)
        together.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [[2, 1], [1, 1]]
    scheduler.stop()


def test_a_job_that_is_left_alone_gets_every_core_once_it_was_alone_for_a_step():
    """Among many callers, most moments with one job end before its step does."""
    gate, turns, read = Gate(), [threading.Event() for _ in range(3)], threading.Semaphore(0)
    scheduler = running(gate.before(reading_cores(turns, read)), cores=2)

    async def main():
        (company,) = await gate.closes(scheduler)
        (long,) = await submitted(scheduler, ["long"])
        assert await asyncio.to_thread(read.acquire, timeout=PATIENCE)
        gate.opened.set()
        await company
        for turn in turns:
            turn.set()
        return await long

    assert asyncio.run(main()) == [1, 1, 2]
    scheduler.stop()


def test_a_lone_job_goes_on_at_once_on_the_same_thread():
    threads: list[int] = []

    def begin(item):
        for _ in range(50):
            yield Step(lambda cores: threads.append(threading.get_ident()), 1)
            yield Step(None, 1)

    scheduler = running(begin, cores=2)

    async def main():
        await scheduler.submit("alone")

    asyncio.run(main())
    scheduler.stop()
    assert len(threads) == 50
    assert len(set(threads)) == 1
