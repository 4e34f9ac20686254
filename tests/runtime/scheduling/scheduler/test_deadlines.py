"""A job that was not begun in time fails; one that was is finished."""

from __future__ import annotations

import asyncio
import threading

import pytest

from runtime.errors import Unavailable
from runtime.scheduling.job import Step
from tests.support.patience import PATIENCE
from tests.support.scheduling import DEADLINE, NOTHING, Gate, SetLoop, counting, on_set_clock, running, submitted


class TestDeadline:
    """A job that was not begun in time fails; one that was is finished."""

    def test_a_job_that_nobody_began_in_time_fails_with_the_settings_name(self):
        log: list[tuple[str, int]] = []
        gate = Gate()
        scheduler = running(gate.before(counting(log)), cores=1, seconds=DEADLINE)

        async def main(loop: SetLoop):
            tasks = await gate.closes(scheduler)
            (late,) = await submitted(scheduler, [("late", 1)], deadline=loop.time() + DEADLINE)
            loop.ahead = DEADLINE
            with pytest.raises(Unavailable) as caught:
                await late
            assert scheduler.in_flight == 1
            gate.opened.set()
            await asyncio.gather(*tasks)
            return str(caught.value)

        assert on_set_clock(main) == "the request was not begun within 3600 seconds (REQUEST_TIMEOUT)"
        scheduler.stop()
        assert log == []

    def test_a_job_that_was_begun_is_answered_however_late(self):
        entered, late = threading.Event(), threading.Event()

        def begin(item):
            yield Step(lambda cores: (entered.set(), late.wait(PATIENCE)), 2)
            yield NOTHING
            return item

        scheduler = running(begin, cores=1, seconds=DEADLINE)

        async def main(loop: SetLoop):
            deadline = loop.time() + DEADLINE
            begun = asyncio.create_task(scheduler.submit("begun", deadline=deadline))
            assert await asyncio.to_thread(entered.wait, PATIENCE)
            (waiting,) = await submitted(scheduler, ["not begun"], deadline=deadline)
            loop.ahead = DEADLINE
            with pytest.raises(Unavailable):
                await waiting
            late.set()
            return await begun

        assert on_set_clock(main) == "begun"
        scheduler.stop()

    def test_each_caller_has_a_deadline_of_its_own(self):
        gate = Gate()
        scheduler = running(gate.before(counting([])), cores=1, seconds=DEADLINE)

        async def main(loop: SetLoop):
            tasks = await gate.closes(scheduler)
            (first,) = await submitted(scheduler, [("same", 1)], key="same", deadline=loop.time() + DEADLINE)
            loop.ahead = DEADLINE / 2
            (second,) = await submitted(scheduler, [("same", 1)], key="same", deadline=loop.time() + DEADLINE)
            loop.ahead = DEADLINE
            with pytest.raises(Unavailable):
                await first
            gate.opened.set()
            await asyncio.gather(*tasks)
            return await second

        assert on_set_clock(main) == "same"
        scheduler.stop()

    @pytest.mark.parametrize("seconds", [None, 2 * DEADLINE])
    def test_before_the_deadline_or_without_one_a_job_waits(self, seconds: float | None):
        gate = Gate()
        scheduler = running(gate.before(counting([])), cores=1, seconds=DEADLINE)

        async def main(loop: SetLoop):
            deadline = seconds and loop.time() + seconds
            tasks = await gate.closes(scheduler) + await submitted(scheduler, [("a", 1)], deadline=deadline)
            loop.ahead = DEADLINE
            for _ in range(10):
                await asyncio.sleep(0)
            assert not tasks[1].done()
            gate.opened.set()
            return (await asyncio.gather(*tasks))[1]

        assert on_set_clock(main) == "a"
        scheduler.stop()
