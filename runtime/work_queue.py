"""Owns the one queue in which requests wait for inference, and the threads that serve it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import threading
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
        self._waiting: queue.SimpleQueue[Work[Item, Result] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._serve, name=f"inference-{n}") for n in range(cores)]
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Work submitted and not finished, waiting or running."""
        return self._in_flight

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the threads; returns when they have ended."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    async def submit(self, item: Item) -> Result:
        """Wait for the result; raises what ``handle`` raised. Work whose waiter was cancelled is dropped unrun."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._in_flight += 1
        self._waiting.put(Work(item, future, loop))
        try:
            return await future
        finally:
            self._in_flight -= 1

    def _serve(self) -> None:
        while (work := self._waiting.get()) is not None:
            if work.future.cancelled():
                continue
            try:
                result = self._handle(work.item, self._cores if self._in_flight == 1 else 1)
            except BaseException as error:
                work.settle(functools.partial(work.future.set_exception, error))
            else:
                work.settle(functools.partial(work.future.set_result, result))
