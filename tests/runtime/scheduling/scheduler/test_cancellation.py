"""Jobs whose callers have gone: not begun, closed between steps, forgotten with their texts."""

from __future__ import annotations

import asyncio
import threading
import weakref

import pytest

from runtime.errors import Unavailable
from runtime.scheduling.job import Step
from tests.support.patience import PATIENCE
from tests.support.scheduling import DEADLINE, Gate, SetLoop, counting, on_set_clock, running, submitted


def test_a_job_whose_caller_was_cancelled_is_not_started():
    log: list[tuple[str, int]] = []
    gate = Gate()
    scheduler = running(gate.before(counting(log)), cores=1)

    async def main():
        tasks = await gate.closes(scheduler)
        first, second = await submitted(scheduler, [("first", 2), ("second", 2)])
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert scheduler.in_flight == 2
        gate.opened.set()
        await asyncio.gather(first, *tasks)

    asyncio.run(main())
    scheduler.stop()
    assert log == [("first", 0), ("first", 1)]


def test_a_job_whose_caller_was_cancelled_between_steps_is_closed_and_not_resumed():
    done: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def begin(item):
        try:
            yield Step(hold, 2)
            done.append("a step after it")
            yield Step(lambda cores: done.append("another run"), 1)
        finally:
            done.append("closed")

    def hold(cores):
        entered.set()
        assert release.wait(PATIENCE)

    scheduler = running(begin, cores=1)

    async def main():
        task = asyncio.create_task(scheduler.submit("long"))
        assert await asyncio.to_thread(entered.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()

    asyncio.run(main())
    scheduler.stop()
    assert done == ["closed"]


def test_an_error_while_a_cancelled_job_is_closed_does_not_end_the_thread():
    entered, release = threading.Event(), threading.Event()

    def begin(item):
        if item == "next":
            return "served"
        try:
            yield Step(hold, 1)
            yield Step(hold, 1)
        finally:
            raise ValueError("in finally")

    def hold(cores):
        entered.set()
        assert release.wait(PATIENCE)

    scheduler = running(begin, cores=1)

    async def main():
        task = asyncio.create_task(scheduler.submit("long"))
        assert await asyncio.to_thread(entered.wait, PATIENCE)
        task.cancel()
        release.set()
        return await asyncio.wait_for(scheduler.submit("next"), PATIENCE)

    assert asyncio.run(main()) == "served"
    scheduler.stop()


class Text(str):
    """An item that can be watched."""


@pytest.mark.parametrize("how", [asyncio.CancelledError, Unavailable])
def test_a_job_that_waits_is_forgotten_at_once_with_its_text(how: type[BaseException]):
    gate = Gate()
    scheduler = running(gate.before(counting([])), cores=1, seconds=DEADLINE)

    async def main(loop: SetLoop):
        tasks = await gate.closes(scheduler)
        texts = [Text(n) for n in range(100)]
        references = [weakref.ref(text) for text in texts]
        deadline = loop.time() + DEADLINE
        waiting = await submitted(scheduler, texts, deadline=deadline)
        for text in texts:
            waiting += await submitted(scheduler, [text], key=text, deadline=deadline)
        if how is Unavailable:
            loop.ahead = DEADLINE
        for task in waiting if how is asyncio.CancelledError else ():
            task.cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {how}
        del text, texts, waiting, results
        task = None
        alive = [reference for reference in references if reference() is not None]
        gate.opened.set()
        await asyncio.gather(*tasks)
        return alive

    assert on_set_clock(main) == []
    scheduler.stop()


def test_a_job_that_was_begun_and_waits_is_closed_when_its_caller_goes():
    closed = threading.Event()
    gate = Gate()

    def begin(item):
        try:
            while True:
                yield Step(None, 9)
        finally:
            closed.set()

    scheduler = running(gate.before(begin), cores=1)

    async def main():
        long = await submitted(scheduler, ["long"], cost=9)
        tasks = await gate.closes(scheduler)
        long[0].cancel()
        await asyncio.gather(*long, return_exceptions=True)
        assert closed.is_set()
        gate.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    scheduler.stop()
