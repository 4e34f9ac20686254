"""Jobs from the event loop on the inference threads: results, errors, and the end."""

from __future__ import annotations

import asyncio
import math
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.scheduling import NOTHING, CallBatch, Gate, at_once, counting, running, submitted


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
