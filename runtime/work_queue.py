"""Owns the one queue in which requests wait for inference, step by step, and the threads that serve it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Work(Generic[Result]):
    """The steps of one item, and the future, on the event loop's side, that waits for the result."""

    steps: Generator[None, None, Result]
    future: asyncio.Future[Result]
    loop: asyncio.AbstractEventLoop

    def step(self) -> bool:
        """Do the next step, and say whether more are to come. Work that nobody waits for any more is closed instead."""
        try:
            if self.future.cancelled():
                self.steps.close()
                return False
            next(self.steps)
        except StopIteration as stop:
            self.settle(functools.partial(self.future.set_result, stop.value))
        except BaseException as error:
            self.settle(functools.partial(self.future.set_exception, error))
        else:
            return True
        return False

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

    ``begin(item, cores_now)`` gives a generator that does one bounded piece of work per step and returns the result.
    After each step the work goes to the end of the line, so that long works do not hold up short ones. Its steps run on
    any of the threads, one after the other. ``cores_now()`` says how many cores the step may use: all when no other
    work is in flight, else one. ``submit`` and ``in_flight`` belong to the event loop's thread.
    """

    def __init__(self, begin: Callable[[Item, Callable[[], int]], Generator[None, None, Result]], cores: int) -> None:
        self._begin, self._cores = begin, cores
        self._threads = [threading.Thread(target=self._serve, name=f"inference-{n}") for n in range(cores)]
        self._in_flight = 0
        # The lock guards the three below it, which the event loop and the threads share.
        self._lock = threading.Lock()
        self._waiting: deque[Work[Result]] = deque()
        self._idle: list[queue.SimpleQueue[Work[Result] | None]] = []
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
        """Wait for the result; raises what ``begin`` or a step raised.

        Work whose waiter was cancelled is closed before its next step: dropped unrun, if it has not begun.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._in_flight += 1
        self._enqueue(Work(self._steps(item), future, loop))
        try:
            return await future
        finally:
            self._in_flight -= 1

    def _steps(self, item: Item) -> Generator[None, None, Result]:
        """Calls ``begin`` at the first step, and thereby on an inference thread."""
        return (yield from self._begin(item, self._cores_now))

    def _cores_now(self) -> int:
        return self._cores if self._in_flight == 1 else 1

    def _enqueue(self, work: Work[Result]) -> None:
        with self._lock:
            # PERF: the thread that was busy last is taken first: its core still has the weights in its cache.
            inbox = self._idle.pop() if self._idle else None
            if inbox is None:
                self._waiting.append(work)
        if inbox is not None:
            inbox.put(work)

    def _serve(self) -> None:
        inbox: queue.SimpleQueue[Work[Result] | None] = queue.SimpleQueue()
        work = self._next(inbox, None)
        while work is not None:
            work = self._next(inbox, work if work.step() else None)

    def _next(
        self, inbox: queue.SimpleQueue[Work[Result] | None], unfinished: Work[Result] | None
    ) -> Work[Result] | None:
        """What waits longest, ``unfinished`` work at last, else what arrives in ``inbox``.

        None when there is nothing left and no more will come.
        """
        with self._lock:
            if unfinished is not None:
                self._waiting.append(unfinished)
            if self._waiting:
                return self._waiting.popleft()
            if self._stopping:
                return None
            self._idle.append(inbox)
        return inbox.get()
