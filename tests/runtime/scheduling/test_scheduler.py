"""Jobs from the event loop on the inference threads: order, batches, cores, errors and cancellation."""

from __future__ import annotations

import asyncio
import functools
import math
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.scheduling.scheduler import Scheduler

PATIENCE = 600
"""A test that waits longer than this for a thread fails. In seconds."""


class CallBatch:
    """Runs are functions of the number of cores, or None for nothing to do. ``capacity`` runs go into one batch."""

    def __init__(self, capacity: int = 1, sizes: list[int] | None = None) -> None:
        self._capacity, self._sizes = capacity, sizes
        self._runs: list[Callable | None] = []

    @property
    def has_capacity(self) -> bool:
        return len(self._runs) < self._capacity

    def add(self, run: Callable | None) -> bool:
        if not self.has_capacity:
            return False
        self._runs.append(run)
        return True

    def run(self, cores: int) -> list:
        if self._sizes is not None:
            self._sizes.append(len(self._runs))
        return [self._result(run, cores) for run in self._runs]

    @staticmethod
    def _result(run: Callable | None, cores: int) -> object:
        try:
            return run(cores) if run else None
        except Exception as error:
            return error


def at_once(handle: Callable) -> Callable:
    """A job of one step."""

    def begin(item):
        return (yield functools.partial(handle, item))

    return begin


def counting(log: list) -> Callable:
    """Jobs (name, steps): each step is logged when it runs, and the name is the result."""

    def begin(item):
        name, steps = item
        for step in range(steps):
            yield lambda cores, step=step: log.append((name, step))
        return name

    return begin


class Gate:
    """A job that keeps its thread until the gate is opened, so that jobs submitted meanwhile wait."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Semaphore(0), threading.Event()

    def before(self, begin: Callable) -> Callable:
        """Handles the gate itself as an item, and leaves other items to ``begin``."""

        def begin_or_wait(item):
            if item is self:
                self.entered.release()
                assert self.opened.wait(PATIENCE)
                return None
            return (yield from begin(item))

        return begin_or_wait

    async def closes(self, scheduler: Scheduler, threads: int = 1) -> list[asyncio.Task]:
        tasks = [asyncio.create_task(scheduler.submit(self)) for _ in range(threads)]
        for _ in tasks:
            assert await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE)
        return tasks


def running(begin: Callable, cores: int = 2, new_batch: Callable = CallBatch) -> Scheduler:
    scheduler = Scheduler(begin, new_batch, cores)
    scheduler.start()
    return scheduler


async def submitted(scheduler: Scheduler, items: list) -> list[asyncio.Task]:
    """Tasks whose items have reached the scheduler."""
    before = scheduler.in_flight
    tasks = [asyncio.create_task(scheduler.submit(item)) for item in items]
    while scheduler.in_flight < before + len(items):
        await asyncio.sleep(0)
    return tasks


def test_results_belong_to_their_items():
    scheduler = running(at_once(lambda item, cores: item * 2))

    async def main():
        return await asyncio.gather(*(scheduler.submit(n) for n in range(200)))

    assert asyncio.run(main()) == [n * 2 for n in range(200)]
    scheduler.stop()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.lists(st.integers(0, 6), max_size=30), st.integers(1, 8))
def test_every_job_gets_its_own_result_whatever_its_steps_threads_and_batches(
    cores: int, steps: list[int], capacity: int
):
    log: list[tuple[int, int]] = []
    sizes: list[int] = []
    scheduler = running(counting(log), cores, lambda: CallBatch(capacity, sizes))

    async def main():
        return await asyncio.gather(*(scheduler.submit(item) for item in enumerate(steps)))

    assert asyncio.run(main()) == list(range(len(steps)))
    scheduler.stop()
    assert max(sizes, default=0) <= min(capacity, max(1, math.ceil(len(steps) / cores)))
    assert sum(sizes) == sum(steps)
    assert sorted(log) == [(name, step) for name, count in enumerate(steps) for step in range(count)]
    assert all([step for name, step in log if name == own] == list(range(count)) for own, count in enumerate(steps))


def test_an_error_reaches_its_own_caller_alone():
    def handle(item, cores):
        if item == 3:
            raise ValueError("three")
        return item

    scheduler = running(at_once(handle))

    async def main():
        return await asyncio.gather(*(scheduler.submit(n) for n in range(6)), return_exceptions=True)

    results = asyncio.run(main())
    assert [repr(result) for result in results] == ["0", "1", "2", "ValueError('three')", "4", "5"]
    scheduler.stop()


def test_an_error_in_begin_or_in_a_later_step_reaches_the_caller():
    def begin(item):
        if item == "bad":
            raise ValueError("at the beginning")
        return steps(item)

    def steps(item):
        yield
        yield
        if item == "late":
            raise ValueError("in step 3")
        return item

    scheduler = running(begin)

    async def main():
        return await asyncio.gather(*(scheduler.submit(n) for n in ("bad", "late", "good")), return_exceptions=True)

    results = [repr(result) for result in asyncio.run(main())]
    assert results == ["ValueError('at the beginning')", "ValueError('in step 3')", "'good'"]
    scheduler.stop()


def reading_cores(turns: list[threading.Event], read: threading.Semaphore) -> Callable:
    """Reads how many cores each step gets, and signals it; a step ends when its turn is over."""

    def begin(item):
        seen = []
        for turn in turns:
            yield lambda cores, turn=turn: read_cores(seen, cores, turn)
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


def test_a_job_that_is_left_alone_gets_every_core_at_its_next_step():
    gate, turns, read = Gate(), [threading.Event(), threading.Event()], threading.Semaphore(0)
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

    assert asyncio.run(main()) == [1, 2]
    scheduler.stop()


def test_in_flight_counts_jobs_that_wait_and_jobs_that_run():
    gate = Gate()
    scheduler = running(gate.before(counting([])), cores=1)

    async def main():
        tasks = await gate.closes(scheduler) + await submitted(scheduler, [("a", 1), ("b", 3)])
        counts = [scheduler.in_flight]
        gate.opened.set()
        await asyncio.gather(*tasks)
        return [*counts, scheduler.in_flight]

    assert asyncio.run(main()) == [3, 0]
    scheduler.stop()


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
            yield hold
            done.append("one run")
            yield lambda cores: done.append("another run")
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
    assert done == ["one run", "closed"]


def test_an_error_while_a_cancelled_job_is_closed_does_not_end_the_thread():
    entered, release = threading.Event(), threading.Event()

    def begin(item):
        if item == "next":
            return "served"
        try:
            yield hold
            yield hold
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


def test_first_come_first_served():
    log: list[tuple[int, int]] = []
    scheduler = running(counting(log), cores=1)

    async def main():
        await asyncio.gather(*(scheduler.submit((n, 1)) for n in range(50)))

    asyncio.run(main())
    scheduler.stop()
    assert log == [(n, 0) for n in range(50)]


def test_long_jobs_take_turns_and_do_not_hold_up_short_ones():
    log: list[tuple[str, int]] = []
    gate = Gate()
    scheduler = running(gate.before(counting(log)), cores=1)

    async def main():
        tasks = await gate.closes(scheduler) + await submitted(scheduler, [("a", 4), ("b", 3), ("short", 1), ("c", 2)])
        gate.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    scheduler.stop()
    assert "".join(f" {name}{step}" for name, step in log) == " a0 b0 short0 c0 a1 b1 c1 a2 b2 a3"


def test_a_job_that_arrives_between_steps_comes_before_the_next_step():
    log: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def begin(item):
        if item == "long":
            yield hold
        yield lambda cores: log.append(f"{item} ends")

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
    assert log == ["long begins", "short ends", "long ends"]


def test_a_lone_job_goes_on_at_once_on_the_same_thread():
    threads: list[int] = []

    def begin(item):
        for _ in range(50):
            yield lambda cores: threads.append(threading.get_ident())

    scheduler = running(begin, cores=2)

    async def main():
        await scheduler.submit("alone")

    asyncio.run(main())
    scheduler.stop()
    assert len(threads) == 50
    assert len(set(threads)) == 1


def test_stop_finishes_waiting_and_half_done_jobs_and_ends_the_threads():
    log: list[tuple[int, int]] = []
    gate = Gate()
    scheduler = running(gate.before(counting(log)), cores=2)

    async def main():
        tasks = await gate.closes(scheduler, threads=2) + await submitted(
            scheduler, [(n, 1 + n % 4) for n in range(10)]
        )
        stopping = asyncio.create_task(asyncio.to_thread(scheduler.stop))
        gate.opened.set()
        results = await asyncio.gather(*tasks)
        await stopping
        return results[2:]

    assert asyncio.run(main()) == list(range(10))
    assert sorted(log) == [(n, step) for n in range(10) for step in range(1 + n % 4)]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("inference")]


def test_a_result_for_a_loop_that_is_gone_is_dropped():
    gate = Gate()
    scheduler = running(gate.before(counting([])), cores=1)

    async def main():
        (task,) = await gate.closes(scheduler)
        task.cancel()

    asyncio.run(main())
    gate.opened.set()
    scheduler.stop()


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
    # The gate that held the thread is the first of its share.
    assert batch_sizes([(n, 1) for n in range(8)], cores=4, capacity=8) == [2, 2, 1, 1, 1, 1]


def test_batches_of_one_run_leave_the_next_job_where_it_is():
    begun: list[int] = []

    def begin(item):
        begun.append(item)
        yield lambda cores: begun.append(-item)

    assert batch_sizes([1, 2, 3], cores=1, capacity=1, begin=begin) == [1, 1, 1]
    assert begun == [1, -1, 2, -2, 3, -3]


def test_jobs_that_end_without_a_run_take_no_capacity():
    def begin(item):
        if item % 2:
            raise ValueError("odd")
        yield None

    assert batch_sizes(list(range(6)), cores=1, capacity=3, begin=begin) == [3]


def test_a_job_that_does_not_go_with_the_others_comes_next_and_is_not_started_again():
    log: list[str] = []
    gate = Gate()

    def begin(item):
        log.append(f"begin {item}")
        yield item[0], lambda cores: log.append(f"run {item}")
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
            yield "b", lambda cores: blue_ran.set()
        elif item == "r":
            yield "r", lambda cores: blue_ran.wait(PATIENCE)
            assert blue_ran.is_set()
        else:
            yield "x", lambda cores: None

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
            yield None
            return
        yield idle_second
        yield lambda cores: both.wait()

    scheduler = running(first.before(second.before(begin)), 2, lambda: CallBatch(2))

    async def main():
        tasks = await first.closes(scheduler) + await second.closes(scheduler)
        tasks += await submitted(scheduler, ["long", "long", "short", "short"])
        first.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    scheduler.stop()
