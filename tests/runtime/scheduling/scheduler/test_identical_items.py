"""Items of one key are one job."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runtime.scheduling.cost_class import Priority
from runtime.scheduling.job import Step
from tests.support.patience import PATIENCE
from tests.support.scheduling import Gate, at_once, counting, running, submitted


class TestIdenticalItems:
    """Items of one key are one job."""

    def test_they_are_computed_once_and_everybody_gets_the_result(self):
        log: list[tuple[str, int]] = []
        scheduler = running(counting(log))

        async def main():
            return await asyncio.gather(*(scheduler.submit(("same", 2), key="same") for _ in range(50)))

        results = asyncio.run(main())
        scheduler.stop()
        assert results == ["same"] * 50
        assert log == [("same", 0), ("same", 1)]
        assert scheduler.in_flight == 0

    def test_an_error_reaches_everybody(self):
        def fail(item, cores):
            raise ValueError("bad run")

        scheduler = running(at_once(fail))

        async def main():
            return await asyncio.gather(*(scheduler.submit("a", key="a") for _ in range(3)), return_exceptions=True)

        assert [repr(result) for result in asyncio.run(main())] == ["ValueError('bad run')"] * 3
        scheduler.stop()

    def test_items_of_other_keys_or_of_none_are_jobs_of_their_own(self):
        log: list[tuple[str, int]] = []
        scheduler = running(counting(log))

        async def main():
            keys = ["a", "b", None, None]
            await asyncio.gather(*(scheduler.submit(("same", 1), key=key) for key in keys))

        asyncio.run(main())
        scheduler.stop()
        assert len(log) == 4

    def test_one_that_comes_after_the_answer_is_computed_again(self):
        log: list[tuple[str, int]] = []
        scheduler = running(counting(log))

        async def main():
            for _ in range(2):
                await scheduler.submit(("same", 1), key="same")

        asyncio.run(main())
        scheduler.stop()
        assert len(log) == 2

    @pytest.mark.parametrize("is_running", [False, True])
    def test_the_job_survives_until_the_last_caller_has_gone(self, is_running: bool):
        done: list[str] = []
        entered, release, gate = threading.Event(), threading.Event(), Gate()

        def begin(item):
            try:
                yield Step(hold, 2)
                yield Step(lambda cores: done.append("second run"), 1)
            finally:
                done.append("closed")
            return item

        def hold(cores):
            entered.set()
            assert release.wait(PATIENCE)

        scheduler = running(gate.before(begin), cores=1)

        async def main():
            gates = [] if is_running else await gate.closes(scheduler)
            same = await submitted(scheduler, ["same"] * 3, key="same")
            if is_running:
                assert await asyncio.to_thread(entered.wait, PATIENCE)
            for task in same[:2]:
                task.cancel()
            assert [type(gone) for gone in await asyncio.gather(*same[:2], return_exceptions=True)] == [
                asyncio.CancelledError
            ] * 2
            release.set()
            gate.opened.set()
            await asyncio.gather(*gates)
            return await same[2]

        assert asyncio.run(main()) == "same"
        scheduler.stop()
        assert done == ["second run", "closed"]

    def test_without_any_caller_left_the_job_is_dropped_and_the_next_one_starts_anew(self):
        log: list[tuple[str, int]] = []
        gate = Gate()
        scheduler = running(gate.before(counting(log)), cores=1)

        async def main():
            tasks = await gate.closes(scheduler)
            same = await submitted(scheduler, [("same", 2)] * 2, key="same")
            for task in same:
                task.cancel()
            await asyncio.gather(*same, return_exceptions=True)
            again = await submitted(scheduler, [("again", 1)], key="same")
            gate.opened.set()
            await asyncio.gather(*tasks)
            return await again[0]

        assert asyncio.run(main()) == "again"
        scheduler.stop()
        assert log == [("again", 0)]

    def test_a_query_brings_the_job_of_a_passage_forward(self):
        log: list[tuple[str, int]] = []
        gate = Gate()
        scheduler = running(gate.before(counting(log)), cores=1)

        async def main():
            tasks = await gate.closes(scheduler) + await submitted(scheduler, [("first", 1)], key="first")
            tasks += await submitted(scheduler, [("second", 1)], key="second")
            tasks += await submitted(scheduler, [("second", 1)], key="second", priority=Priority.QUERY)
            gate.opened.set()
            await asyncio.gather(*tasks)

        asyncio.run(main())
        scheduler.stop()
        assert log == [("second", 0), ("first", 0)]
