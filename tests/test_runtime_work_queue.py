"""The queue between the event loop and the inference threads."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from runtime.work_queue import WorkQueue


def running(handle, cores: int = 2) -> WorkQueue:
    queue = WorkQueue(handle, cores)
    queue.start()
    return queue


def test_results_belong_to_their_items():
    queue = running(lambda item, cores: item * 2)

    async def main():
        return await asyncio.gather(*(queue.submit(n) for n in range(200)))

    assert asyncio.run(main()) == [n * 2 for n in range(200)]
    queue.stop()


def test_an_error_reaches_its_own_waiter_alone():
    def handle(item, cores):
        if item == 3:
            raise ValueError("three")
        return item

    queue = running(handle)

    async def main():
        return await asyncio.gather(*(queue.submit(n) for n in range(6)), return_exceptions=True)

    results = asyncio.run(main())
    assert [repr(result) for result in results] == ["0", "1", "2", "ValueError('three')", "4", "5"]
    queue.stop()


def test_a_lone_item_gets_every_core_and_company_gets_one_each():
    entered, release = threading.Semaphore(0), threading.Event()

    def handle(item, cores):
        entered.release()
        if item == "wait":
            release.wait(10)
        return cores

    queue = running(handle, cores=2)

    async def main():
        alone = await queue.submit("now")
        waiting = [asyncio.create_task(queue.submit("wait")) for _ in range(3)]
        await asyncio.sleep(0.05)
        release.set()
        return alone, await asyncio.gather(*waiting)

    alone, together = asyncio.run(main())
    assert alone == 2
    assert together[:2] == [1, 1]
    queue.stop()


def test_in_flight_counts_what_waits_and_what_runs():
    release = threading.Event()
    queue = running(lambda item, cores: release.wait(10), cores=1)

    async def main():
        tasks = [asyncio.create_task(queue.submit(n)) for n in range(3)]
        await asyncio.sleep(0.05)
        counts = [queue.in_flight]
        release.set()
        await asyncio.gather(*tasks)
        return [*counts, queue.in_flight]

    assert asyncio.run(main()) == [3, 0]
    queue.stop()


def test_work_whose_waiter_was_cancelled_is_not_run():
    ran: list[str] = []
    release = threading.Event()

    def handle(item, cores):
        ran.append(item)
        release.wait(10)

    queue = running(handle, cores=1)

    async def main():
        first = asyncio.create_task(queue.submit("first"))
        second = asyncio.create_task(queue.submit("second"))
        await asyncio.sleep(0.05)
        second.cancel()
        await asyncio.sleep(0.01)
        assert queue.in_flight == 1
        release.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second

    asyncio.run(main())
    queue.stop()
    assert ran == ["first"]


def test_first_come_first_served():
    order: list[int] = []
    queue = running(lambda item, cores: order.append(item), cores=1)

    async def main():
        await asyncio.gather(*(queue.submit(n) for n in range(50)))

    asyncio.run(main())
    queue.stop()
    assert order == list(range(50))


def test_stop_finishes_what_waits_and_ends_the_threads():
    done: list[int] = []

    def handle(item, cores):
        time.sleep(0.01)
        done.append(item)

    queue = running(handle, cores=2)

    async def main():
        tasks = [asyncio.create_task(queue.submit(n)) for n in range(10)]
        await asyncio.sleep(0)
        return await asyncio.gather(*tasks)

    asyncio.run(main())
    queue.stop()
    assert sorted(done) == list(range(10))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("inference")]


def test_a_result_for_a_loop_that_is_gone_is_dropped():
    release = threading.Event()
    queue = running(lambda item, cores: release.wait(10), cores=1)

    async def main():
        task = asyncio.create_task(queue.submit(1))
        await asyncio.sleep(0.02)
        task.cancel()

    asyncio.run(main())
    release.set()
    queue.stop()
