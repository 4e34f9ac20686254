"""Advances the jobs of all requests, step by step, on the inference threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Generic, Protocol

from runtime.errors import Unavailable
from runtime.host.priority import lower_priority
from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.cost_class import Priority
from runtime.scheduling.job import Job, MayContinue, Result, Run, Steps
from runtime.scheduling.lone_jobs import LoneJobs
from runtime.scheduling.ready_queue import ReadyQueue

USUAL_SECONDS = 60.0
"""How long callers are expected to wait where no deadline is set."""

FRESH_SHARE = 2 / 3
"""Of the deadline: after that, a job makes way for those that came later. Callers give up somewhat before the deadline,
and need time for the job itself."""


class Batch(Protocol):
    """Runs of several jobs that share one call."""

    @property
    def has_capacity(self) -> bool:
        """Whether there can be a run that still goes into the batch."""

    def add(self, run: Run) -> bool:
        """Add the run, or return False if it does not go with the others. An empty batch takes any run."""

    @property
    def steps(self) -> int:
        """How many steps of its first job ``run`` has done; at least 1."""

    def run(self, cores: int, may_continue: MayContinue) -> Sequence[Any]:
        """Return the result of each run, in order; for a run that failed, its exception.

        A run that is several steps of its job asks ``may_continue`` before each but the first.
        """


class Scheduler(Generic[Result]):
    """Advances jobs on as many threads as cores, in the order of ``JobQueue``.

    ``begin(item)`` returns the steps of a job; each does a bounded amount of work. A thread takes the job whose turn it
    is, and with it short ones as long as their runs go into one batch, up to its fair share of them, so that no other
    thread is left without. Unfinished jobs then rejoin the queue. The steps of one job run one after another, on any of
    the threads; one turn can be several of them, as long as ``ReadyQueue.may_continue`` allows it. A batch may use all
    cores if nothing else is in flight and nothing else was when the last one began, and one core otherwise. A job that
    was not begun before its deadline fails. ``submit`` belongs to the event loop's thread.
    """

    def __init__(
        self,
        begin: Callable[[Any], Steps[Result]],
        new_batch: Callable[[], Batch],
        cores: int,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        figures: WorkFigures | None = None,
        lone: LoneJobs | None = None,
    ) -> None:
        """``seconds``: after which the deadlines of callers come, usually; None: there are none.

        ``figures``: where jobs are counted; None: nobody wants to know. ``lone``: what runs on the event loop; None:
        nothing.
        """
        self._begin, self._new_batch, self._cores, self._clock = begin, new_batch, cores, clock
        self._seconds = seconds or USUAL_SECONDS
        self._figures = figures if figures is not None else WorkFigures()
        self._lone = lone
        self._threads = [threading.Thread(target=self._serve, name=f"inference-{n}") for n in range(cores)]
        self._queue: ReadyQueue[Job[Result]] = ReadyQueue(cores, self._seconds * FRESH_SHARE, clock)
        # Whether the last batch had the scheduler to itself. Threads write it without a lock: it is a guess anyway.
        self._was_alone = True
        # The two below belong to the event loop's thread.
        self._by_key: dict[Hashable, Job[Result]] = {}
        self._callers = 0

    @property
    def in_flight(self) -> int:
        """How many callers await a result."""
        return self._callers

    @property
    def idle_threads(self) -> int:
        """How many threads wait for a job."""
        return self._queue.idle

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the jobs that wait, then end the threads. Returns when they have ended."""
        self._queue.close()
        for thread in self._threads:
            thread.join()

    async def submit(
        self,
        item: Any,
        key: Hashable = None,
        cost: int = 1,
        priority: Priority = Priority.PASSAGE,
        deadline: float | None = None,
        is_short: bool = False,
    ) -> Result:
        """Return the job's result. Raises what ``begin``, a step or a run raised, and ``Unavailable`` at the deadline.

        Items with the same ``key`` have the same result, and those in flight are one job; None is never the same.
        ``cost`` is the number of its runs, estimated; ``deadline`` is by the event loop's clock, None: none. If all
        callers of a job are cancelled, it is closed before its next step; a job that has not started is never run.
        ``is_short``: its first step does next to nothing before its run.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        job = self._by_key.get(key) if key is not None else None
        if job is not None:
            job.waiters.add(future)
            self._queue.join(job, priority)
            self._figures.coalesced()
        else:
            job = self._put(item, future, key, cost, priority, is_short)
        has_ended = future.done()
        timer = None if deadline is None or has_ended else loop.call_at(deadline, self._expire, job, future)
        self._callers += 1
        try:
            if has_ended and self._lone is not None:
                await self._lone.look_around()
            return await future
        finally:
            self._callers -= 1
            if timer is not None:
                timer.cancel()
            self._leave(job, future)
            # NOTE: the future's error refers to this frame. Together they would keep the text until they are collected.
            del item, key, job, future, timer

    def _put(
        self,
        item: Any,
        future: asyncio.Future[Result],
        key: Hashable,
        cost: int,
        priority: Priority,
        is_short: bool,
    ) -> Job[Result]:
        job = Job(self._steps(item), future.get_loop(), cost, priority, key)
        job.waiters.add(future)
        self._figures.queued()
        # PERF: to count jobs takes a lock, and to count callers does not; but a job may have outlived its callers.
        is_alone = self._lone is not None and self._lone.arrives(self._callers or self._queue.in_flight)
        if is_alone and is_short and self._has_ended_at_once(job):
            return job
        if key is not None:
            self._by_key[key] = job
        self._queue.put(job)
        return job

    def _has_ended_at_once(self, job: Job[Result]) -> bool:
        """Advance a short job here, and run it if it is quick. Returns whether it has ended; if not, a thread goes on.

        PERF: it saves waking a thread, and being woken by it, which takes a tenth of the time of a short text.
        """
        if not job.prepare():
            run = job.run
            if run is None or job.cost > 1 or self._lone is None or not self._lone.is_quick(run):
                return False
            batch = self._new_batch()
            batch.add(run)
            if self._run_batch(batch, [job], self._cores):
                return False
        self._figures.taken(0.0)
        job.settle()
        return True

    def _steps(self, item: Any) -> Steps[Result]:
        """Defers ``begin`` to the first step, and thereby to an inference thread."""
        return (yield from self._begin(item))

    def _expire(self, job: Job[Result], future: asyncio.Future[Result]) -> None:
        # NOTE: a late answer beats a refusal, so a job that was begun is finished.
        if not job.begun and not future.done():
            self._figures.missed()
            future.set_exception(Unavailable.not_begun(self._seconds))

    def _leave(self, job: Job[Result], future: asyncio.Future[Result]) -> None:
        """The caller of this future is served or gone. A job without callers is dropped, now or by its thread."""
        job.waiters.discard(future)
        if not job.waiters and not job.has_outcome:
            self._forget(job)
            if self._queue.remove(job):
                if job.taken_at is None:
                    self._figures.dropped()
                job.close()

    def _forget(self, job: Job[Result]) -> None:
        """Let nobody join the job any more."""
        if job.key is not None:
            # PERF: each look-up hashes the key, and this is one less than to ask first.
            del self._by_key[job.key]
            job.key = None

    def _serve(self) -> None:
        lower_priority()
        job = self._queue.next()
        while job is not None:
            start = self._clock()
            unfinished, steps = self._take_turn(job)
            job = self._queue.next(unfinished, (self._clock() - start) / steps)

    def _take_turn(self, first: Job[Result]) -> tuple[list[Job[Result]], int]:
        """Advance the job, with others whose runs go with its own, by a step; alone, maybe by several.

        Returns the jobs that are unfinished, and the number of steps.
        """
        batch, taken = self._new_batch(), 0
        jobs: list[Job[Result]] = []
        job: Job[Result] | None = first
        while job is not None:
            taken += 1
            if job.taken_at is None:
                job.taken_at = self._clock()
                self._figures.taken(job.taken_at - job.since)
            if job.prepare():
                self._deliver([job])
                if job is first:
                    return [], 1
            elif job.run is None and job is first:
                return [job], 1
            elif job.run is not None and batch.add(job.run):
                jobs.append(job)
            else:
                self._queue.put_back(job, first=job.run is not None)
                break
            job = self._queue.take_more(first, taken) if batch.has_capacity else None
        return self._run_together(batch, jobs) if jobs else [], batch.steps

    def _run_together(self, batch: Batch, jobs: list[Job[Result]]) -> list[Job[Result]]:
        """Run the batch on as many cores as are free, and settle jobs that end. Returns those that are unfinished."""
        is_alone = self._queue.in_flight == len(jobs)
        # NOTE: among many callers there are moments with one job, which the others' next ones end at once.
        cores = self._cores if is_alone and self._was_alone else 1
        self._was_alone = is_alone
        unfinished = self._run_batch(batch, jobs, cores)
        if ended := [job for job in jobs if job not in unfinished] if unfinished else jobs:
            self._deliver(ended)
        return unfinished

    def _run_batch(self, batch: Batch, jobs: list[Job[Result]], cores: int) -> list[Job[Result]]:
        """Run the batch and resume its jobs. Returns those that are unfinished."""
        run, start = jobs[0].run, self._clock()
        results = batch.run(cores, partial(self._may_continue, jobs[0]))
        self._figures.ran((self._clock() - start) / batch.steps, batch.steps)
        have_ended = [job.resume(result) for job, result in zip(jobs, results, strict=True)]
        if self._lone is not None and cores == self._cores and len(jobs) == batch.steps == 1:
            self._lone.measure(run, self._clock() - start)
        return [job for job, has_ended in zip(jobs, have_ended, strict=True) if not has_ended]

    def _may_continue(self, job: Job[Result], steps: int) -> bool:
        return job.is_wanted and self._queue.may_continue(job, steps)

    def _deliver(self, ended: list[Job[Result]]) -> None:
        """Settle the jobs on the event loop, which is woken once for all of them."""
        # NOTE: a closed loop means that the server was killed while this ran.
        with contextlib.suppress(RuntimeError):
            ended[0].loop.call_soon_threadsafe(self._settle, ended)

    def _settle(self, ended: list[Job[Result]]) -> None:
        self._queue.leave(len(ended))
        for job in ended:
            self._forget(job)
            job.settle()
