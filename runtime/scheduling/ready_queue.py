"""Hands waiting jobs to inference threads: the job queue behind a lock, and the idle threads."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Generic

from runtime.scheduling.cost_class import Item, Priority
from runtime.scheduling.job_queue import JobQueue


class ReadyQueue(Generic[Item]):
    """Gives out jobs in the order of ``JobQueue``, and counts those in flight. Thread-safe.

    Either jobs wait or threads are idle, never both.
    """

    def __init__(self, threads: int, fresh_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._threads, self._clock = threads, clock
        # The lock guards the four below it.
        self._lock = threading.Lock()
        self._jobs: JobQueue[Item] = JobQueue(fresh_seconds, threads)
        self._idle: list[queue.SimpleQueue[Item | None]] = []
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

    def put(self, job: Item) -> None:
        """Add a job that has just arrived. It is in flight until ``leave`` or ``remove``."""
        with self._lock:
            self._in_flight += 1
            job.since = self._clock()
            if self._idle:
                # PERF: nothing else waits, so that nothing is to be decided.
                job.begun = True
                self._idle.pop().put(job)
            else:
                self._jobs.add(job)

    def join(self, job: Item, priority: Priority) -> None:
        """One more caller awaits the job, wherever it is."""
        with self._lock:
            self._jobs.join(job, priority, self._clock())

    def remove(self, job: Item) -> bool:
        """Take the job out, so that it is in flight no longer. Returns False if it does not wait: a thread has it."""
        with self._lock:
            if not self._jobs.discard(job):
                return False
            self._in_flight -= 1
            return True

    def leave(self, jobs: int) -> None:
        """Count so many jobs less in flight: they have ended."""
        with self._lock:
            self._in_flight -= jobs

    def put_back(self, job: Item, first: bool = False) -> None:
        """Return a job that was taken; ``first``: before all others of its cost and priority."""
        with self._lock:
            self._jobs.add(job, first)
            self._wake()

    def next(self, unfinished: Iterable[Item] = (), seconds: float | None = None) -> Item | None:
        """Return the job whose turn it is, after ``unfinished`` ones have joined the queue; block until there is one.

        ``seconds``: how long their last step took. Returns None when the queue is empty and closed.
        """
        with self._lock:
            for unfinished_job in unfinished:
                self._jobs.add(unfinished_job)
                if seconds is not None:
                    self._jobs.measure(seconds)
            job = self._jobs.take(self._clock())
            if job is not None:
                self._wake()
                return job
            if self._is_closed:
                return None
            mailbox: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
            self._idle.append(mailbox)
        return mailbox.get()

    def may_continue(self, job: Item, steps: int) -> bool:
        """Whether a thread that has done so many steps of the job in this turn should do its next one at once.

        See ``JobQueue.may_continue``. Where a thread is idle, the next step may get its core as well.
        """
        with self._lock:
            return not self._idle and self._jobs.may_continue(job, steps)

    def take_more(self, first: Item, taken: int) -> Item | None:
        """Return a job of one step that goes along with the ``first`` of a batch.

        None if there is none or the thread has ``taken`` its fair share of those.
        """
        with self._lock:
            short = self._jobs.short
            if short and taken < math.ceil((taken + short) / self._threads):
                return self._jobs.take_short(first.priority, self._clock())
            return None

    def close(self) -> None:
        """Let each thread end once nothing is left to take."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for mailbox in idle:
            mailbox.put(None)

    def _wake(self) -> None:
        while self._idle and (job := self._jobs.take(self._clock())) is not None:
            # PERF: the thread that was busy last is woken first: its core still has the weights in its cache.
            self._idle.pop().put(job)
