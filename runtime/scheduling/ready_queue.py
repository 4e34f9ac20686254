"""Owns the line in which works wait for threads, and threads for works."""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Line(Generic[T]):
    """First come, first served. Thread-safe. Where something waits no thread is idle, and the other way round."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        # The lock guards the three below it.
        self._lock = threading.Lock()
        self._waiting: deque[T] = deque()
        self._idle: list[queue.SimpleQueue[T | None]] = []
        self._is_closed = False

    def put(self, work: T) -> None:
        with self._lock:
            self._waiting.append(work)
            self._hand_out()

    def put_back(self, work: T) -> None:
        """To the front, where it was taken from."""
        with self._lock:
            self._waiting.appendleft(work)
            self._hand_out()

    def next(self, unfinished: Iterable[T] = ()) -> T | None:
        """What waits longest, ``unfinished`` works at last, else what arrives.

        None when there is nothing left and no more will come.
        """
        with self._lock:
            self._waiting += unfinished
            if self._waiting:
                work = self._waiting.popleft()
                self._hand_out()
                return work
            if self._is_closed:
                return None
            inbox: queue.SimpleQueue[T | None] = queue.SimpleQueue()
            self._idle.append(inbox)
        return inbox.get()

    def another(self, taken: int) -> T | None:
        """What waits longest, if anything, unless this thread, which has ``taken`` some, has had its share."""
        with self._lock:
            share = math.ceil((taken + len(self._waiting)) / self._threads)
            return self._waiting.popleft() if self._waiting and taken < share else None

    def close(self) -> None:
        """Let threads end when nothing is left."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for inbox in idle:
            inbox.put(None)

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            # PERF: the thread that was busy last is taken first: its core still has the weights in its cache.
            self._idle.pop().put(self._waiting.popleft())
