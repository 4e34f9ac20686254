"""The queue between the event loop and the inference threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.work_queue import WorkQueue

PATIENCE = 10
"""Seconds after which a test that waits for a thread fails."""


def at_once(handle: Callable) -> Callable:
    """Work that is done in its first step."""

    def begin(item, cores_now):
        return handle(item, cores_now())
        yield

    return begin


def counting(log: list) -> Callable:
    """Works (name, steps): each step is logged, and the name is the result."""

    def begin(item, cores_now):
        name, steps = item
        for step in range(steps):
            log.append((name, step))
            if step < steps - 1:
                yield
        return name

    return begin


class Gate:
    """Work that keeps its thread until it is opened, so that what is submitted meanwhile waits."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Semaphore(0), threading.Event()

    def before(self, begin: Callable) -> Callable:
        """Takes the gate itself as an item, and leaves others to ``begin``."""

        def begin_or_wait(item, cores_now):
            if item is self:
                self.entered.release()
                assert self.opened.wait(PATIENCE)
                return None
            return (yield from begin(item, cores_now))

        return begin_or_wait

    async def closes(self, queue: WorkQueue, threads: int = 1) -> list[asyncio.Task]:
        tasks = [asyncio.create_task(queue.submit(self)) for _ in range(threads)]
        for _ in tasks:
            assert await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE)
        return tasks


def running(begin: Callable, cores: int = 2) -> WorkQueue:
    queue = WorkQueue(begin, cores)
    queue.start()
    return queue


async def submitted(queue: WorkQueue, items: list) -> list[asyncio.Task]:
    """Tasks that have reached the queue."""
    before = queue.in_flight
    tasks = [asyncio.create_task(queue.submit(item)) for item in items]
    while queue.in_flight < before + len(items):
        await asyncio.sleep(0)
    return tasks


def test_results_belong_to_their_items():
    queue = running(at_once(lambda item, cores: item * 2))

    async def main():
        return await asyncio.gather(*(queue.submit(n) for n in range(200)))

    assert asyncio.run(main()) == [n * 2 for n in range(200)]
    queue.stop()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.lists(st.integers(1, 6), max_size=30))
def test_every_work_gets_its_own_result_however_many_steps_and_threads(cores: int, steps: list[int]):
    log: list[tuple[int, int]] = []
    queue = running(counting(log), cores)

    async def main():
        return await asyncio.gather(*(queue.submit(item) for item in enumerate(steps)))

    assert asyncio.run(main()) == list(range(len(steps)))
    queue.stop()
    assert sorted(log) == [(name, step) for name, count in enumerate(steps) for step in range(count)]
    assert all([step for name, step in log if name == own] == list(range(count)) for own, count in enumerate(steps))


def test_an_error_reaches_its_own_waiter_alone():
    def handle(item, cores):
        if item == 3:
            raise ValueError("three")
        return item

    queue = running(at_once(handle))

    async def main():
        return await asyncio.gather(*(queue.submit(n) for n in range(6)), return_exceptions=True)

    results = asyncio.run(main())
    assert [repr(result) for result in results] == ["0", "1", "2", "ValueError('three')", "4", "5"]
    queue.stop()


def test_an_error_of_a_later_step_or_of_the_beginning_reaches_the_waiter():
    def begin(item, cores_now):
        if item == "bad":
            raise ValueError("at the beginning")
        return steps(item)

    def steps(item):
        yield
        yield
        if item == "late":
            raise ValueError("in step 3")
        return item

    queue = running(begin)

    async def main():
        return await asyncio.gather(*(queue.submit(n) for n in ("bad", "late", "good")), return_exceptions=True)

    results = [repr(result) for result in asyncio.run(main())]
    assert results == ["ValueError('at the beginning')", "ValueError('in step 3')", "'good'"]
    queue.stop()


def reading_cores(turns: list[threading.Event], read: threading.Semaphore) -> Callable:
    """Reads how many cores there are at each step, and lets it be known; ends a step when its turn is over."""

    def begin(item, cores_now):
        seen = []
        for turn in turns:
            seen.append(cores_now())
            read.release()
            assert turn.wait(PATIENCE)
            yield
        return seen

    return begin


def test_a_lone_item_gets_every_core_and_company_gets_one_each():
    alone, together, read = threading.Event(), threading.Event(), threading.Semaphore(0)
    queue = running(reading_cores([alone, together], read), cores=2)

    async def main():
        tasks = await submitted(queue, ["first"])
        assert await asyncio.to_thread(read.acquire, timeout=PATIENCE)
        tasks += await submitted(queue, ["second"])
        alone.set()
        for _ in range(3):
            assert await asyncio.to_thread(read.acquire, timeout=PATIENCE)
        together.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [[2, 1], [1, 1]]
    queue.stop()


def test_what_is_left_alone_gets_every_core_at_its_next_step():
    gate, turns, read = Gate(), [threading.Event(), threading.Event()], threading.Semaphore(0)
    queue = running(gate.before(reading_cores(turns, read)), cores=2)

    async def main():
        (company,) = await gate.closes(queue)
        (long,) = await submitted(queue, ["long"])
        assert await asyncio.to_thread(read.acquire, timeout=PATIENCE)
        gate.opened.set()
        await company
        for turn in turns:
            turn.set()
        return await long

    assert asyncio.run(main()) == [1, 2]
    queue.stop()


def test_in_flight_counts_what_waits_and_what_runs():
    gate = Gate()
    queue = running(gate.before(counting([])), cores=1)

    async def main():
        tasks = await gate.closes(queue) + await submitted(queue, [("a", 1), ("b", 3)])
        counts = [queue.in_flight]
        gate.opened.set()
        await asyncio.gather(*tasks)
        return [*counts, queue.in_flight]

    assert asyncio.run(main()) == [3, 0]
    queue.stop()


def test_work_whose_waiter_was_cancelled_is_not_begun():
    log: list[tuple[str, int]] = []
    gate = Gate()
    queue = running(gate.before(counting(log)), cores=1)

    async def main():
        tasks = await gate.closes(queue)
        first, second = await submitted(queue, [("first", 2), ("second", 2)])
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert queue.in_flight == 2
        gate.opened.set()
        await asyncio.gather(first, *tasks)

    asyncio.run(main())
    queue.stop()
    assert log == [("first", 0), ("first", 1)]


def test_work_whose_waiter_was_cancelled_between_steps_is_closed_and_not_gone_on_with():
    done: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def begin(item, cores_now):
        try:
            entered.set()
            assert release.wait(PATIENCE)
            yield
            done.append("second step")
        finally:
            done.append("closed")

    queue = running(begin, cores=1)

    async def main():
        task = asyncio.create_task(queue.submit("long"))
        assert await asyncio.to_thread(entered.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()

    asyncio.run(main())
    queue.stop()
    assert done == ["closed"]


def test_an_error_while_cancelled_work_is_closed_does_not_end_the_thread():
    entered, release = threading.Event(), threading.Event()

    def begin(item, cores_now):
        if item == "next":
            return "served"
        try:
            entered.set()
            assert release.wait(PATIENCE)
            yield
        finally:
            raise ValueError("in finally")

    queue = running(begin, cores=1)

    async def main():
        task = asyncio.create_task(queue.submit("long"))
        assert await asyncio.to_thread(entered.wait, PATIENCE)
        task.cancel()
        release.set()
        return await asyncio.wait_for(queue.submit("next"), PATIENCE)

    assert asyncio.run(main()) == "served"
    queue.stop()


def test_first_come_first_served():
    log: list[tuple[int, int]] = []
    queue = running(counting(log), cores=1)

    async def main():
        await asyncio.gather(*(queue.submit((n, 1)) for n in range(50)))

    asyncio.run(main())
    queue.stop()
    assert log == [(n, 0) for n in range(50)]


def test_long_works_take_turns_and_do_not_hold_up_short_ones():
    log: list[tuple[str, int]] = []
    gate = Gate()
    queue = running(gate.before(counting(log)), cores=1)

    async def main():
        tasks = await gate.closes(queue) + await submitted(queue, [("a", 4), ("b", 3), ("short", 1), ("c", 2)])
        gate.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    queue.stop()
    assert "".join(f" {name}{step}" for name, step in log) == " a0 b0 short0 c0 a1 b1 c1 a2 b2 a3"


def test_work_that_arrives_between_steps_comes_before_the_next_step():
    log: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def begin(item, cores_now):
        log.append(f"{item} begins")
        if item == "long":
            entered.set()
            assert release.wait(PATIENCE)
            yield
        log.append(f"{item} ends")

    queue = running(begin, cores=1)

    async def main():
        long = asyncio.create_task(queue.submit("long"))
        assert await asyncio.to_thread(entered.wait, PATIENCE)
        short = await submitted(queue, ["short"])
        release.set()
        await asyncio.gather(long, *short)

    asyncio.run(main())
    queue.stop()
    assert log == ["long begins", "short begins", "short ends", "long ends"]


def test_lone_work_goes_on_at_once_on_the_same_thread():
    threads: list[int] = []

    def begin(item, cores_now):
        for _ in range(50):
            threads.append(threading.get_ident())
            yield

    queue = running(begin, cores=2)

    async def main():
        await queue.submit("alone")

    asyncio.run(main())
    queue.stop()
    assert len(threads) == 50
    assert len(set(threads)) == 1


def test_stop_finishes_what_waits_and_what_is_half_done_and_ends_the_threads():
    log: list[tuple[int, int]] = []
    gate = Gate()
    queue = running(gate.before(counting(log)), cores=2)

    async def main():
        tasks = await gate.closes(queue, threads=2) + await submitted(queue, [(n, 1 + n % 4) for n in range(10)])
        stopping = asyncio.create_task(asyncio.to_thread(queue.stop))
        gate.opened.set()
        results = await asyncio.gather(*tasks)
        await stopping
        return results[2:]

    assert asyncio.run(main()) == list(range(10))
    assert sorted(log) == [(n, step) for n in range(10) for step in range(1 + n % 4)]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("inference")]


def test_a_result_for_a_loop_that_is_gone_is_dropped():
    gate = Gate()
    queue = running(gate.before(counting([])), cores=1)

    async def main():
        (task,) = await gate.closes(queue)
        task.cancel()

    asyncio.run(main())
    gate.opened.set()
    queue.stop()
