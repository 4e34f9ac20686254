"""Batches of waiting jobs: their sizes, what does not go together, and who takes the rest."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from runtime.scheduling.job import Step
from tests.support.patience import PATIENCE
from tests.support.scheduling import NOTHING, CallBatch, Gate, at_once, counting, running, submitted


class ColorBatch(CallBatch):
    """Runs are (color, function), and only those of one color go together."""

    def add(self, run: tuple[str, Callable]) -> bool:
        if self._runs and self._runs[0][0] != run[0]:
            return False
        self._runs.append(run)
        return True

    @staticmethod
    def _result(run: tuple[str, Callable], cores: int) -> object:
        return CallBatch._result(run[1], cores)


def batch_sizes(items: list, cores: int, capacity: int, begin: Callable | None = None) -> list[int]:
    """Sizes of the batches in which one thread takes the items, all of which wait; other threads are kept busy."""
    sizes: list[int] = []
    busy, free = Gate(), Gate()
    begin = begin or counting([])
    scheduler = running(free.before(busy.before(begin)), cores, lambda: CallBatch(capacity, sizes))

    async def main():
        kept = [task for _ in range(cores - 1) for task in await busy.closes(scheduler)]
        kept += await free.closes(scheduler)
        tasks = await submitted(scheduler, items)
        free.opened.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        busy.opened.set()
        await asyncio.gather(*kept)

    asyncio.run(main())
    scheduler.stop()
    return sizes


def test_waiting_jobs_are_batched_up_to_the_capacity():
    assert batch_sizes([(n, 1) for n in range(8)], cores=1, capacity=3) == [3, 3, 2]


def test_a_thread_takes_no_more_than_its_share_of_the_queue():
    assert batch_sizes([(n, 1) for n in range(6)], cores=2, capacity=8) == [3, 2, 1]
    assert batch_sizes([(n, 1) for n in range(8)], cores=4, capacity=8) == [2, 2, 1, 1, 1, 1]


def test_batches_of_one_run_leave_the_next_job_where_it_is():
    begun: list[int] = []

    def begin(item):
        begun.append(item)
        yield Step(lambda cores: begun.append(-item), 1)

    assert batch_sizes([1, 2, 3], cores=1, capacity=1, begin=begin) == [1, 1, 1]
    assert begun == [1, -1, 2, -2, 3, -3]


def test_jobs_that_end_without_a_run_take_no_capacity():
    def begin(item):
        if item % 2:
            raise ValueError("odd")
        yield NOTHING

    assert batch_sizes(list(range(6)), cores=1, capacity=3, begin=begin) == [3]


def test_a_job_that_does_not_go_with_the_others_comes_next_and_is_not_started_again():
    log: list[str] = []
    gate = Gate()

    def begin(item):
        log.append(f"begin {item}")
        yield Step((item[0], lambda cores: log.append(f"run {item}")), 1)
        return item

    scheduler = running(gate.before(begin), 1, lambda: ColorBatch(8))

    async def main():
        tasks = await gate.closes(scheduler) + await submitted(scheduler, ["r1", "r2", "b3", "r4"])
        gate.opened.set()
        return (await asyncio.gather(*tasks))[1:]

    assert asyncio.run(main()) == ["r1", "r2", "b3", "r4"]
    scheduler.stop()
    begun = ["begin r1", "begin r2", "begin b3", "run r1", "run r2", "begin r4", "run b3", "run r4"]
    assert log == begun


def test_an_error_reaches_one_job_of_a_batch_alone():
    gate = Gate()

    def handle(item, cores):
        if item == 1:
            raise ValueError("one")
        return item

    scheduler = running(gate.before(at_once(handle)), 1, lambda: CallBatch(8))

    async def main():
        tasks = await gate.closes(scheduler) + await submitted(scheduler, [0, 1, 2])
        gate.opened.set()
        return (await asyncio.gather(*tasks, return_exceptions=True))[1:]

    assert [repr(result) for result in asyncio.run(main())] == ["0", "ValueError('one')", "2"]
    scheduler.stop()


def test_a_job_that_is_cancelled_while_it_waits_takes_no_capacity():
    sizes: list[int] = []
    gate = Gate()
    scheduler = running(gate.before(counting([])), 1, lambda: CallBatch(8, sizes))

    async def main():
        tasks = await gate.closes(scheduler) + await submitted(scheduler, [(n, 1) for n in range(4)])
        tasks[2].cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result) for result in asyncio.run(main())].count(asyncio.CancelledError) == 1
    scheduler.stop()
    assert sizes == [3]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_job_that_is_put_back_goes_to_an_idle_thread():
    first, second, blue_ran = Gate(), Gate(), threading.Event()

    def begin(item):
        if item == "b":
            # On the first thread, which has taken red; the second now does the rest of the queue and then nothing.
            second.opened.set()
            wait_until(lambda: scheduler.idle_threads)
            yield Step(("b", lambda cores: blue_ran.set()), 1)
        elif item == "r":
            yield Step(("r", lambda cores: blue_ran.wait(PATIENCE)), 1)
            assert blue_ran.is_set()
        else:
            yield Step(("x", lambda cores: None), 1)

    scheduler = running(first.before(second.before(begin)), 2, lambda: ColorBatch(8))

    async def main():
        tasks = await first.closes(scheduler) + await second.closes(scheduler)
        tasks += await submitted(scheduler, ["r", "b", "x", "x"])
        first.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    scheduler.stop()


def test_unfinished_jobs_of_one_batch_are_shared_out_to_idle_threads():
    first, second, both = Gate(), Gate(), threading.Barrier(2, timeout=PATIENCE)

    def idle_second(cores):
        second.opened.set()
        wait_until(lambda: scheduler.idle_threads)

    def begin(item):
        if item == "short":
            yield NOTHING
            return
        yield Step(idle_second, 1)
        yield Step(lambda cores: both.wait(), 1)

    scheduler = running(first.before(second.before(begin)), 2, lambda: CallBatch(2))

    async def main():
        tasks = await first.closes(scheduler) + await second.closes(scheduler)
        tasks += await submitted(scheduler, ["long", "long", "short", "short"])
        first.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    scheduler.stop()


def test_a_job_that_pauses_ends_a_batch_which_then_runs():
    """Its first step shows that it is not as short as it was estimated."""
    log: list[str] = []
    gate = Gate()

    def begin(item):
        if item == "pauses":
            yield Step(None, 5)
        yield Step(lambda cores: log.append(item), 1)

    scheduler = running(gate.before(begin), 1, lambda: CallBatch(8))

    async def main():
        tasks = await gate.closes(scheduler) + await submitted(scheduler, ["a", "pauses", "b"])
        gate.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    scheduler.stop()
    assert log == ["a", "b", "pauses"]
