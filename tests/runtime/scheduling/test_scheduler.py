"""The queue between the event loop and the inference threads."""

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

from runtime.scheduling.scheduler import WorkQueue

PATIENCE = 10
"""Seconds after which a test that waits for a thread fails."""


class CallGroup:
    """Wishes are functions of the number of cores, and at most so many go together; None is one that asks nothing."""

    def __init__(self, most: int = 1, sizes: list[int] | None = None) -> None:
        self._most, self._sizes = most, sizes
        self._wishes: list[Callable | None] = []

    @property
    def is_open(self) -> bool:
        return len(self._wishes) < self._most

    def add(self, wish: Callable | None) -> bool:
        if not self.is_open:
            return False
        self._wishes.append(wish)
        return True

    def run(self, cores: int) -> list:
        if self._sizes is not None:
            self._sizes.append(len(self._wishes))
        return [self._answer(wish, cores) for wish in self._wishes]

    @staticmethod
    def _answer(wish: Callable | None, cores: int) -> object:
        try:
            return wish(cores) if wish else None
        except Exception as error:
            return error


def at_once(handle: Callable) -> Callable:
    """Work that is done with one wish."""

    def begin(item):
        return (yield functools.partial(handle, item))

    return begin


def counting(log: list) -> Callable:
    """Works (name, steps): each step is logged when it is run, and the name is the result."""

    def begin(item):
        name, steps = item
        for step in range(steps):
            yield lambda cores, step=step: log.append((name, step))
        return name

    return begin


class Gate:
    """Work that keeps its thread until it is opened, so that what is submitted meanwhile waits."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Semaphore(0), threading.Event()

    def before(self, begin: Callable) -> Callable:
        """Takes the gate itself as an item, and leaves others to ``begin``."""

        def begin_or_wait(item):
            if item is self:
                self.entered.release()
                assert self.opened.wait(PATIENCE)
                return None
            return (yield from begin(item))

        return begin_or_wait

    async def closes(self, queue: WorkQueue, threads: int = 1) -> list[asyncio.Task]:
        tasks = [asyncio.create_task(queue.submit(self)) for _ in range(threads)]
        for _ in tasks:
            assert await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE)
        return tasks


def running(begin: Callable, cores: int = 2, group: Callable = CallGroup) -> WorkQueue:
    queue = WorkQueue(begin, group, cores)
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
@given(st.integers(1, 4), st.lists(st.integers(0, 6), max_size=30), st.integers(1, 8))
def test_every_work_gets_its_own_result_however_many_steps_threads_and_places(cores: int, steps: list[int], most: int):
    log: list[tuple[int, int]] = []
    sizes: list[int] = []
    queue = running(counting(log), cores, lambda: CallGroup(most, sizes))

    async def main():
        return await asyncio.gather(*(queue.submit(item) for item in enumerate(steps)))

    assert asyncio.run(main()) == list(range(len(steps)))
    queue.stop()
    assert max(sizes, default=0) <= min(most, max(1, math.ceil(len(steps) / cores)))
    assert sum(sizes) == sum(steps)
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

    queue = running(begin)

    async def main():
        return await asyncio.gather(*(queue.submit(n) for n in ("bad", "late", "good")), return_exceptions=True)

    results = [repr(result) for result in asyncio.run(main())]
    assert results == ["ValueError('at the beginning')", "ValueError('in step 3')", "'good'"]
    queue.stop()


def reading_cores(turns: list[threading.Event], read: threading.Semaphore) -> Callable:
    """Reads how many cores there are at each step, and lets it be known; ends a step when its turn is over."""

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
    assert done == ["one run", "closed"]


def test_an_error_while_cancelled_work_is_closed_does_not_end_the_thread():
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

    def begin(item):
        if item == "long":
            yield hold
        yield lambda cores: log.append(f"{item} ends")

    def hold(cores):
        log.append("long begins")
        entered.set()
        assert release.wait(PATIENCE)

    queue = running(begin, cores=1)

    async def main():
        long = asyncio.create_task(queue.submit("long"))
        assert await asyncio.to_thread(entered.wait, PATIENCE)
        short = await submitted(queue, ["short"])
        release.set()
        await asyncio.gather(long, *short)

    asyncio.run(main())
    queue.stop()
    assert log == ["long begins", "short ends", "long ends"]


def test_lone_work_goes_on_at_once_on_the_same_thread():
    threads: list[int] = []

    def begin(item):
        for _ in range(50):
            yield lambda cores: threads.append(threading.get_ident())

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


class ColourGroup(CallGroup):
    """Wishes are (colour, function), and only those of one colour go together."""

    def add(self, wish: tuple[str, Callable]) -> bool:
        if self._wishes and self._wishes[0][0] != wish[0]:
            return False
        self._wishes.append(wish)
        return True

    @staticmethod
    def _answer(wish: tuple[str, Callable], cores: int) -> object:
        return CallGroup._answer(wish[1], cores)


def groups_of(items: list, cores: int, most: int, begin: Callable | None = None) -> list[int]:
    """Sizes of the groups in which one thread takes the items, all of which wait; the others are kept busy."""
    sizes: list[int] = []
    busy, free = Gate(), Gate()
    begin = begin or counting([])
    queue = running(free.before(busy.before(begin)), cores, lambda: CallGroup(most, sizes))

    async def main():
        kept = [task for _ in range(cores - 1) for task in await busy.closes(queue)]
        kept += await free.closes(queue)
        tasks = await submitted(queue, items)
        free.opened.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        busy.opened.set()
        await asyncio.gather(*kept)

    asyncio.run(main())
    queue.stop()
    return sizes


def test_what_waits_goes_together_as_far_as_there_is_room():
    assert groups_of([(n, 1) for n in range(8)], cores=1, most=3) == [3, 3, 2]


def test_a_thread_takes_no_more_than_its_share_of_the_line():
    assert groups_of([(n, 1) for n in range(6)], cores=2, most=8) == [3, 2, 1]
    # The gate that held the thread is the first of its share.
    assert groups_of([(n, 1) for n in range(8)], cores=4, most=8) == [2, 2, 1, 1, 1, 1]


def test_groups_that_take_one_wish_leave_the_next_work_where_it_is():
    begun: list[int] = []

    def begin(item):
        begun.append(item)
        yield lambda cores: begun.append(-item)

    assert groups_of([1, 2, 3], cores=1, most=1, begin=begin) == [1, 1, 1]
    assert begun == [1, -1, 2, -2, 3, -3]


def test_works_that_end_without_a_wish_take_no_place():
    def begin(item):
        if item % 2:
            raise ValueError("odd")
        yield None

    assert groups_of(list(range(6)), cores=1, most=3, begin=begin) == [3]


def test_what_does_not_go_with_the_others_comes_next_and_is_not_begun_again():
    log: list[str] = []
    gate = Gate()

    def begin(item):
        log.append(f"begin {item}")
        yield item[0], lambda cores: log.append(f"run {item}")
        return item

    queue = running(gate.before(begin), 1, lambda: ColourGroup(8))

    async def main():
        tasks = await gate.closes(queue) + await submitted(queue, ["r1", "r2", "b3", "r4"])
        gate.opened.set()
        return (await asyncio.gather(*tasks))[1:]

    assert asyncio.run(main()) == ["r1", "r2", "b3", "r4"]
    queue.stop()
    begun = ["begin r1", "begin r2", "begin b3", "run r1", "run r2", "begin r4", "run b3", "run r4"]
    assert log == begun


def test_an_error_reaches_one_of_a_group_alone():
    gate = Gate()

    def handle(item, cores):
        if item == 1:
            raise ValueError("one")
        return item

    queue = running(gate.before(at_once(handle)), 1, lambda: CallGroup(8))

    async def main():
        tasks = await gate.closes(queue) + await submitted(queue, [0, 1, 2])
        gate.opened.set()
        return (await asyncio.gather(*tasks, return_exceptions=True))[1:]

    assert [repr(result) for result in asyncio.run(main())] == ["0", "ValueError('one')", "2"]
    queue.stop()


def test_work_cancelled_in_the_line_takes_no_place_in_a_group():
    sizes: list[int] = []
    gate = Gate()
    queue = running(gate.before(counting([])), 1, lambda: CallGroup(8, sizes))

    async def main():
        tasks = await gate.closes(queue) + await submitted(queue, [(n, 1) for n in range(4)])
        tasks[2].cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result) for result in asyncio.run(main())].count(asyncio.CancelledError) == 1
    queue.stop()
    assert sizes == [3]


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_is_put_back_goes_to_a_thread_that_is_idle():
    first, second, blue_ran = Gate(), Gate(), threading.Event()

    def begin(item):
        if item == "b":
            # On the first thread, which has taken red; the second now does the rest of the line and then nothing.
            second.opened.set()
            wait_until(lambda: queue._line._idle)
            yield "b", lambda cores: blue_ran.set()
        elif item == "r":
            yield "r", lambda cores: blue_ran.wait(PATIENCE)
            assert blue_ran.is_set()
        else:
            yield "x", lambda cores: None

    queue = running(first.before(second.before(begin)), 2, lambda: ColourGroup(8))

    async def main():
        tasks = await first.closes(queue) + await second.closes(queue)
        tasks += await submitted(queue, ["r", "b", "x", "x"])
        first.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    queue.stop()


def test_works_of_one_group_that_go_on_are_shared_out_to_idle_threads():
    first, second, both = Gate(), Gate(), threading.Barrier(2, timeout=PATIENCE)

    def idle_second(cores):
        second.opened.set()
        wait_until(lambda: queue._line._idle)

    def begin(item):
        if item == "short":
            yield None
            return
        yield idle_second
        yield lambda cores: both.wait()

    queue = running(first.before(second.before(begin)), 2, lambda: CallGroup(2))

    async def main():
        tasks = await first.closes(queue) + await second.closes(queue)
        tasks += await submitted(queue, ["long", "long", "short", "short"])
        first.opened.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    queue.stop()
