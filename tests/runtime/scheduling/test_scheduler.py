"""Jobs from the event loop on the inference threads: order, batches, cores, errors and cancellation."""

from __future__ import annotations

import asyncio
import functools
import math
import threading
import time
import weakref
from collections.abc import Callable, Coroutine

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import Unavailable
from runtime.scheduling.cost_class import Priority
from runtime.scheduling.job import Step
from runtime.scheduling.scheduler import Scheduler

PATIENCE = 600
"""A test that waits longer than this for a thread fails. In seconds."""


NOTHING = Step(lambda cores: None, 1)
"""A step whose run does nothing."""


class CallBatch:
    """Runs are functions of the number of cores. ``capacity`` runs go into one batch."""

    def __init__(self, capacity: int = 1, sizes: list[int] | None = None) -> None:
        self._capacity, self._sizes = capacity, sizes
        self._runs: list[Callable] = []

    @property
    def has_capacity(self) -> bool:
        return len(self._runs) < self._capacity

    def add(self, run: Callable) -> bool:
        if not self.has_capacity:
            return False
        self._runs.append(run)
        return True

    def run(self, cores: int) -> list:
        if self._sizes is not None:
            self._sizes.append(len(self._runs))
        return [self._result(run, cores) for run in self._runs]

    @staticmethod
    def _result(run: Callable, cores: int) -> object:
        try:
            return run(cores)
        except Exception as error:
            return error


def at_once(handle: Callable) -> Callable:
    """A job of one step."""

    def begin(item):
        return (yield Step(functools.partial(handle, item), 1))

    return begin


def counting(log: list) -> Callable:
    """Jobs (name, steps): each step is logged when it runs, and the name is the result. They state what is left."""

    def begin(item):
        name, steps = item
        for step in range(steps):
            yield Step(lambda cores, step=step: log.append((name, step)), steps - step)
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


def running(
    begin: Callable, cores: int = 2, new_batch: Callable = CallBatch, seconds: float | None = None
) -> Scheduler:
    scheduler = Scheduler(begin, new_batch, cores, seconds)
    scheduler.start()
    return scheduler


async def submitted(scheduler: Scheduler, items: list, **how: object) -> list[asyncio.Task]:
    """Tasks whose items have reached the scheduler, each submitted ``how``."""
    before = scheduler.in_flight
    tasks = [asyncio.create_task(scheduler.submit(item, **how)) for item in items]
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
        yield NOTHING
        yield NOTHING
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


class SetLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def on_set_clock(main: Callable[[SetLoop], Coroutine]) -> object:
    """What the coroutine returns, on a loop whose clock it may put forward."""
    with asyncio.Runner(loop_factory=SetLoop) as runner:
        return runner.run(main(runner.get_loop()))


DEADLINE = 3600.0
"""In seconds. Tests put the clock forward instead of waiting."""


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
