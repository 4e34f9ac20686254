"""Owns the one queue in which requests wait for inference, and the threads that serve it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Work(Generic[Item, Result]):
    """One item and the future, on the event loop's side, that waits for its result."""

    item: Item
    future: asyncio.Future[Result]
    loop: asyncio.AbstractEventLoop

    def settle(self, outcome: Callable[[], None]) -> None:
        """Hand the outcome over to the event loop; it is dropped where nobody waits for it any more."""

        def on_loop() -> None:
            if not self.future.done():
                outcome()

        # NOTE: a closed loop means that the server was killed while this ran.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(on_loop)


class WorkQueue(Generic[Item, Result]):
    """First come, first served; as many threads as cores.

    ``handle(item, cores)`` runs on one of the threads. It gets all cores when no other work is in flight, else one.
    ``submit`` and ``in_flight`` belong to the event loop's thread.
    """

    def __init__(self, handle: Callable[[Item, int], Result], cores: int) -> None:
        self._handle, self._cores = handle, cores
        self._threads = [threading.Thread(target=self._serve, name=f"inference-{n}") for n in range(cores)]
        self._in_flight = 0
        # The lock guards the three below it, which the event loop and the threads share.
        self._lock = threading.Lock()
        self._waiting: deque[Work[Item, Result]] = deque()
        self._idle: list[queue.SimpleQueue[Work[Item, Result] | None]] = []
        self._stopping = False

    @property
    def in_flight(self) -> int:
        """Work submitted and not finished, waiting or running."""
        return self._in_flight

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the threads; returns when they have ended."""
        with self._lock:
            self._stopping = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)
        for thread in self._threads:
            thread.join()

    async def submit(self, item: Item) -> Result:
        """Wait for the result; raises what ``handle`` raised. Work whose waiter was cancelled is dropped unrun."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._in_flight += 1
        self._enqueue(Work(item, future, loop))
        try:
            return await future
        finally:
            self._in_flight -= 1

    def _enqueue(self, work: Work[Item, Result]) -> None:
        with self._lock:
            # PERF: the thread that was busy last is taken first: its core still has the weights in its cache.
            inbox = self._idle.pop() if self._idle else None
            if inbox is None:
                self._waiting.append(work)
        if inbox is not None:
            inbox.put(work)

    def _serve(self) -> None:
        inbox: queue.SimpleQueue[Work[Item, Result] | None] = queue.SimpleQueue()
        while (work := self._next(inbox)) is not None:
            if work.future.cancelled():
                continue
            try:
                result = self._handle(work.item, self._cores if self._in_flight == 1 else 1)
            except BaseException as error:
                work.settle(functools.partial(work.future.set_exception, error))
            else:
                work.settle(functools.partial(work.future.set_result, result))

    def _next(self, inbox: queue.SimpleQueue[Work[Item, Result] | None]) -> Work[Item, Result] | None:
        """What waits longest, else what arrives in ``inbox``; None when there is nothing left and no more will come."""
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            if self._stopping:
                return None
            self._idle.append(inbox)
        return inbox.get()
