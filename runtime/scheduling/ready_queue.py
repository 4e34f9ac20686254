"""A FIFO of jobs, and the idle threads waiting for one."""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from collections.abc import Iterable
from typing import Generic

from runtime.scheduling.job import Job, Result


class ReadyQueue(Generic[Result]):
    """Hands waiting jobs to threads, first come, first served, and counts the jobs in flight. Thread-safe.

    Either jobs wait or threads are idle, never both.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        # The lock guards the four below it.
        self._lock = threading.Lock()
        self._waiting: deque[Job[Result]] = deque()
        self._idle: list[queue.SimpleQueue[Job[Result] | None]] = []
        self._in_flight = 0
        self._is_closed = False

    @property
    def in_flight(self) -> int:
        """How many jobs were put and have not left."""
        with self._lock:
            return self._in_flight

    @property
    def idle(self) -> int:
        """How many threads wait for a job."""
        with self._lock:
            return len(self._idle)

    def put(self, job: Job[Result]) -> None:
        """Add the job at the back. It is in flight until ``leave``."""
        with self._lock:
            self._in_flight += 1
            self._waiting.append(job)
            self._wake()

    def leave(self) -> None:
        """Count one job less in flight: it has finished, or nobody awaits its result any more."""
        with self._lock:
            self._in_flight -= 1

    def requeue_front(self, job: Job[Result]) -> None:
        """Return the job to the front, where it was taken from."""
        with self._lock:
            self._waiting.appendleft(job)
            self._wake()

    def next(self, unfinished: Iterable[Job[Result]] = ()) -> Job[Result] | None:
        """Return the oldest waiting job, after re-queueing ``unfinished`` ones; block until one arrives.

        Returns None when the queue is empty and closed.
        """
        with self._lock:
            self._waiting += unfinished
            if self._waiting:
                job = self._waiting.popleft()
                self._wake()
                return job
            if self._is_closed:
                return None
            mailbox: queue.SimpleQueue[Job[Result] | None] = queue.SimpleQueue()
            self._idle.append(mailbox)
        return mailbox.get()

    def take_more(self, taken: int) -> Job[Result] | None:
        """Return the oldest waiting job, unless there is none or the thread has ``taken`` its fair share."""
        with self._lock:
            share = math.ceil((taken + len(self._waiting)) / self._threads)
            return self._waiting.popleft() if self._waiting and taken < share else None

    def close(self) -> None:
        """Let each thread end once nothing is left to take."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for mailbox in idle:
            mailbox.put(None)

    def _wake(self) -> None:
        while self._waiting and self._idle:
            # PERF: the thread that was busy last is woken first: its core still has the weights in its cache.
            self._idle.pop().put(self._waiting.popleft())
