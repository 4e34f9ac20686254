"""Runs requests that are more than one job: part by part, a few parts of all requests in flight at a time."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from runtime.errors import Unavailable
from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.cost_class import Priority
from runtime.scheduling.job_queue import JobQueue
from runtime.scheduling.lane import SHORT
from runtime.scheduling.scheduler import FRESH_SHARE, USUAL_SECONDS

JOBS_PER_CORE = 4
"""So many parts are in flight for each core: enough that no thread waits for the event loop, and few enough that a
request that has just come has its turn soon."""

Part = Callable[[], Coroutine[Any, Any, None]]


class Places(Protocol):
    """Where parts run: each keeps a place until it ends."""

    def take(self, is_short: bool = False) -> int | None:
        """A place for the next part, by a number; None if all are taken. Some are for ``is_short`` requests alone."""

    def free(self, place: int) -> None:
        """A part has left this place."""


class Room:
    """Implements ``Places``: so many parts, all in one place, and some more that are reserved for short requests."""

    def __init__(self, parts: int, reserved: int = 0) -> None:
        self._free, self._reserved = parts + reserved, reserved

    def take(self, is_short: bool = False) -> int | None:
        if self._free <= (0 if is_short else self._reserved):
            return None
        self._free -= 1
        return 0

    def free(self, place: int) -> None:
        self._free += 1


class Parted(ABC):
    """A request on its way. Implements ``Waiting``: its cost is how much of it no part has had yet."""

    begun = False
    since = 0.0

    def __init__(self, cost: int, priority: Priority) -> None:
        self.cost, self.priority = cost, priority
        self.tasks: set[asyncio.Task[None]] = set()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    @abstractmethod
    def has_parts(self) -> bool:
        """Whether a part can begin now."""

    @property
    @abstractmethod
    def is_complete(self) -> bool:
        """Whether all parts have ended."""

    @abstractmethod
    def take_part(self, place: int) -> Part:
        """Remove and return the next part, and set ``cost`` to what is left. There must be one.

        ``place``: where it runs, for those who have several.
        """

    def fail(self, error: Exception) -> None:
        """Give the error to the caller."""
        if not self.done.done():
            self.done.set_exception(error)


class Parts:
    """Begins the parts of all requests. Belongs to the event loop's thread.

    Requests wait in a ``JobQueue``, where a part is a turn. So the request with the least left is next, one that was
    begun is finished before another of its size begins, and one of five turns goes to the oldest. Where only reserved
    places are free, a short request takes them.
    """

    def __init__(
        self,
        places: Places,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        figures: WorkFigures | None = None,
        short: int = SHORT,
    ) -> None:
        """``short``: what has so many parts left is short. ``seconds`` and ``figures``: as of ``Scheduler``."""
        self.places, self._clock, self._short = places, clock, short
        self._seconds = seconds or USUAL_SECONDS
        self._figures = figures if figures is not None else WorkFigures()
        self._queue: JobQueue[Parted] = JobQueue(self._seconds * FRESH_SHARE)

    async def run(self, request: Parted, deadline: float | None = None) -> None:
        """Return when all parts have ended.

        ``deadline`` is by the event loop's clock, None: none. Raises ``Unavailable`` if nothing of the request was
        begun by then, and any other error of a part: the first ends the request and its jobs.
        """
        request.since = self._clock()
        loop = asyncio.get_running_loop()
        timer = None if deadline is None else loop.call_at(deadline, self._expire, request)
        self._queue.add(request)
        self._fill()
        try:
            await request.done
        finally:
            if timer is not None:
                timer.cancel()
            self._queue.discard(request)
            for task in request.tasks:
                task.cancel()

    def _fill(self) -> None:
        """Begin parts as long as requests wait and places are free."""
        while self._queue and (taken := self._take()) is not None:
            request, place = taken
            task = asyncio.create_task(self._run(request, request.take_part(place)))
            if request.has_parts:
                self._queue.add(request)
            request.tasks.add(task)
            task.add_done_callback(request.tasks.discard)
            # NOTE: a callback, because a task that is cancelled before it begins never runs.
            task.add_done_callback(partial(self._end, place))

    def _take(self) -> tuple[Parted, int] | None:
        """The request that is next, and the place of its part; None if there is no place for any."""
        now = self._clock()
        if (place := self.places.take()) is not None:
            request = self._queue.take(now)
        elif (place := self.places.take(is_short=True)) is not None:
            request = self._queue.take_short(Priority.QUERY, now, self._short)
        else:
            return None
        if request is None:
            self.places.free(place)
            return None
        return request, place

    def _end(self, place: int, task: asyncio.Task[None]) -> None:
        self.places.free(place)
        self._fill()

    async def _run(self, request: Parted, part: Part) -> None:
        try:
            await part()
        except Exception as error:
            request.fail(error)
            self._queue.discard(request)
            return
        if request.done.done():
            return
        if request.is_complete:
            request.done.set_result(None)
        elif request.has_parts:
            # NOTE: it may wait already, where this changes nothing.
            self._queue.add(request)

    def _expire(self, request: Parted) -> None:
        # NOTE: a late answer beats a refusal, so a request that was begun is finished.
        if not request.begun and not request.done.done():
            self._figures.missed()
            request.fail(Unavailable.not_begun(self._seconds))
            self._queue.discard(request)


def parts_in_flight(cores: int, part_bytes: int, budget_bytes: int) -> int:
    """How many parts may be in flight: by cores, and by the memory that each takes; at least 1."""
    return max(1, min(JOBS_PER_CORE * cores, budget_bytes // max(1, part_bytes)))
