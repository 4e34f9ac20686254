"""Groups of texts over several workers, all in one process here: what is sent where, and that nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from runtime.batches.batcher import GROUP_TEXTS, Batcher
from runtime.batches.request import BatchRequest, Embedded, Group
from runtime.errors import InferenceFailed, InvalidRequest
from runtime.scheduling.cost_class import Priority
from runtime.siblings.guests import Guests
from runtime.siblings.mailboxes import Mailboxes
from runtime.siblings.siblings import MAX_CHARACTERS, PER_THREAD, Siblings

IN_FLIGHT = 8


@dataclass(frozen=True)
class Like:
    is_query: bool = False


def vectors_of(texts: list[str]) -> np.ndarray:
    return np.asarray([[len(text), sum(map(ord, text))] for text in texts], dtype=np.float32)


class Worker:
    """Embeds groups one after another, each in a turn of the event loop, and keeps them."""

    def __init__(self, act: Callable[[Group], Exception | None] = lambda group: None) -> None:
        self.groups: list[Group] = []
        self.priorities: set[Priority] = set()
        self.dropped = 0
        self.requests = 0
        self.go = asyncio.Event()
        self.go.set()
        self._act, self._one = act, asyncio.Lock()

    async def submit(self, group: Group, priority: Priority) -> Embedded:
        self.groups.append(group)
        self.priorities.add(priority)
        try:
            async with self._one:
                await self.go.wait()
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        if (error := self._act(group)) is not None:
            raise error
        return Embedded(vectors_of(list(group.texts)), [len(text) for text in group.texts])

    def count(self, change: int) -> None:
        self.requests += change


class Server:
    """Workers that reach each other; the first has the requests."""

    def __init__(self, *workers: Worker | None, cores: int = 1, patience: float = 600) -> None:
        """None: a worker that is there, and never looks into its mailbox."""
        self.workers = workers
        self.mailboxes = Mailboxes(len(workers))
        first = workers[0]
        assert first is not None
        self.siblings = Siblings(
            self.mailboxes, 0, [cores] * len(workers), first.submit, IN_FLIGHT, self._requests_of, patience
        )
        self.batcher = Batcher(first.submit, cores, IN_FLIGHT)
        self.batcher.spread(self.siblings)
        for number, worker in enumerate(workers):
            if worker is not None and number:
                Guests(self.mailboxes, number, worker.submit, lambda fields: Like(**fields), worker.count).start()

    def _requests_of(self, number: int) -> int | None:
        worker = self.workers[number]
        return 0 if worker is None else worker.requests

    async def embed(self, texts: list[str], is_query: bool = False) -> Embedded:
        return await self.batcher.embed(BatchRequest(texts, "input", True, Like(is_query)))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run to the end, with all that was begun; a test that waits for ever fails."""

    async def whole() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


TEXTS = [f"text {number}" * (number % 7) for number in range(600)]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_texts_are_embedded_by_all_workers_in_order_and_equal_ones_once(count: int):
    async def test() -> None:
        workers = [Worker() for _ in range(count)]
        found = await Server(*workers).embed(TEXTS, is_query=True)
        np.testing.assert_array_equal(found.vectors, vectors_of(TEXTS))
        assert list(found.tokens) == [len(text) for text in TEXTS]
        embedded = [text for worker in workers for group in worker.groups for text in group.texts]
        assert sorted(embedded) == sorted(set(TEXTS))
        assert all(worker.groups for worker in workers)
        assert {priority for worker in workers for priority in worker.priorities} == {Priority.QUERY}
        await until(lambda: not any(worker.requests for worker in workers))

    run(test)


def test_a_small_request_is_cut_for_all_threads_that_have_nothing_to_do():
    async def test() -> None:
        first, idle, busy = Worker(), Worker(), Worker()
        busy.requests = 1
        server = Server(first, idle, busy, cores=2)
        assert server.siblings.threads == 4
        await server.embed(["a", "b", "c", "d"])
        assert [len(group.texts) for worker in (first, idle, busy) for group in worker.groups] == [1] * 4

    run(test)


def test_who_is_least_busy_for_its_threads_is_asked_and_nobody_beyond_what_keeps_threads_busy():
    requests: dict[int, int | None] = {1: 0, 2: 1, 3: None}

    async def never(group: Group, priority: Priority) -> Embedded:
        raise AssertionError("nothing is embedded here")

    siblings = Siblings(Mailboxes(4), 0, [2, 2, 1, 2], never, 5, requests.__getitem__)
    taken = [siblings.take() for _ in range(12)]
    # The third has a request of its own, which may be the first group that it was sent.
    assert taken == [0, 1, 0, 1, 0, 1, 2, 2, 0, 1, 0, None]
    assert taken.count(1) == PER_THREAD * 2
    siblings.free(1)
    assert siblings.take() == 1
    requests[1] = 4
    siblings.free(1)
    assert siblings.take() is None, "others keep it busy"
    assert [siblings.take(is_short=True) for _ in range(3)] == [0, 0, None]
    for _ in range(3):
        siblings.free(0)
    assert siblings.take() == 0


class TestWhatGoesWrong:
    @pytest.mark.parametrize("error", [InferenceFailed("no memory"), ValueError("anything"), KeyError(3)])
    def test_what_another_worker_cannot_embed_this_one_does(self, error: Exception):
        async def test() -> None:
            first, other = Worker(), Worker(lambda group: error)
            found = await Server(first, other).embed(TEXTS)
            np.testing.assert_array_equal(found.vectors, vectors_of(TEXTS))
            assert other.groups
            assert sum(len(group.texts) for group in first.groups) == len(set(TEXTS))

        run(test)

    def test_an_invalid_text_is_refused_as_it_is_here(self):
        async def test() -> None:
            def refuse(group: Group) -> Exception | None:
                bad = [index for index, text in enumerate(group.texts) if text == "bad"]
                return group.named(bad[0], InvalidRequest("it is bad")) if bad else None

            first, other = Worker(refuse), Worker(refuse)
            for texts in (["a", "bad"], ["bad", "a"]):
                with pytest.raises(InvalidRequest, match=rf"^input\[{texts.index('bad')}\]: it is bad$"):
                    await Server(first, other).embed(texts)
            refused = [group for worker in (first, other) for group in worker.groups if "bad" in group.texts]
            assert len(refused) == 2, "no one tries again"
            assert other.groups

        run(test)

    def test_what_a_worker_that_dies_had_is_embedded_here(self):
        async def test() -> None:
            first, other = Worker(), Worker()
            other.go.clear()
            server = Server(first, other)
            request = asyncio.create_task(server.embed(TEXTS))
            await until(lambda: len(other.groups) >= 2)
            for task in asyncio.all_tasks():
                if (
                    task.get_coro().__qualname__ == "Guests._serve"
                ):  # its end closes the connection, as that of a process
                    task.cancel()
            np.testing.assert_array_equal((await request).vectors, vectors_of(TEXTS))

        run(test)

    def test_what_a_worker_that_dies_had_not_taken_is_embedded_here(self):
        async def test() -> None:
            first = Worker()
            server = Server(first, None)
            request = asyncio.create_task(server.embed(TEXTS))
            await until(
                lambda: sum(len(group.texts) for group in first.groups) >= len(set(TEXTS)) - PER_THREAD * GROUP_TEXTS
            )
            assert not request.done()
            server.mailboxes.clear(1)
            np.testing.assert_array_equal((await request).vectors, vectors_of(TEXTS))

        run(test)

    def test_a_worker_that_hangs_is_not_waited_for(self):
        async def test() -> None:
            first = Worker()
            server = Server(first, None, patience=0.01)
            found = await server.embed(TEXTS)
            np.testing.assert_array_equal(found.vectors, vectors_of(TEXTS))
            assert sum(len(group.texts) for group in first.groups) == len(set(TEXTS))
            server.mailboxes.clear(1)
            await server.embed(TEXTS)
            assert server.mailboxes.take(1) is None, "it is asked again later"

        run(test)

    def test_a_full_mailbox_is_no_matter(self):
        async def test() -> None:
            first = Worker()
            server = Server(first, None)

            def refuse(number: int, connection: object) -> None:
                raise BlockingIOError

            server.mailboxes.put = refuse
            np.testing.assert_array_equal((await server.embed(TEXTS)).vectors, vectors_of(TEXTS))

        run(test)

    def test_a_caller_who_leaves_has_nothing_more_computed_anywhere(self):
        async def test() -> None:
            first, other = Worker(), Worker()
            first.go.clear()
            other.go.clear()
            request = asyncio.create_task(Server(first, other).embed(TEXTS))
            await until(lambda: len(other.groups) == PER_THREAD)
            request.cancel()
            await until(lambda: other.dropped == len(other.groups) and first.dropped == len(first.groups))
            await until(lambda: not other.requests)

        run(test)


def test_a_long_text_stays():
    async def test() -> None:
        first, other = Worker(), Worker()
        texts = [letter * (MAX_CHARACTERS + 1) for letter in "abcdef"]
        found = await Server(first, other).embed(texts)
        np.testing.assert_array_equal(found.vectors, vectors_of(texts))
        assert not other.groups

    run(test)


def test_vectors_larger_than_a_sockets_buffer_arrive_whole():
    async def test() -> None:
        large = np.arange(1 << 20, dtype=np.float64).reshape(1, -1)

        async def submit(group: Group, priority: Priority) -> Embedded:
            return Embedded(large, [1])

        mailboxes = Mailboxes(2)
        Guests(mailboxes, 1, submit, lambda fields: Like(**fields), lambda change: None).start()
        siblings = Siblings(mailboxes, 0, [1, 1], submit, 1, lambda number: 0)
        found = await siblings.run(1, Group(["a"], ["input[0]"], Like()), Priority.PASSAGE)
        np.testing.assert_array_equal(found.vectors, large)
        assert found.vectors is not large, "it came from the other side"

    run(test)
