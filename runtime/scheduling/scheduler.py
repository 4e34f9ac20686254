"""Advances the jobs of all requests, step by step, on the inference threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol

from runtime.scheduling.job import Job, Result, Run, Steps, deliver_on
from runtime.scheduling.ready_queue import ReadyQueue


class Batch(Protocol):
    """Runs of several jobs that share one call."""

    @property
    def has_capacity(self) -> bool:
        """Whether there can be a run that still goes into the batch."""

    def add(self, run: Run) -> bool:
        """Add the run, or return False if it does not go with the others. An empty batch takes any run."""

    def run(self, cores: int) -> Sequence[Any]:
        """Return the result of each run, in order; for a run that failed, its exception."""


class Scheduler(Generic[Result]):
    """Advances jobs on as many threads as cores, first come, first served.

    ``begin(item)`` returns the steps of a job; each does a bounded amount of work before it yields a run. A thread
    takes the oldest waiting job, and with it the next ones as long as their runs go into one batch, up to its fair
    share of the queue, so that no other thread is left without. Unfinished jobs then rejoin the back of the queue, so
    that long jobs do not hold up short ones. The steps of one job run one after another, on any of the threads. A batch
    may use all cores if nothing else is in flight, and one core otherwise. ``submit`` belongs to the event loop's
    thread.
    """

    def __init__(self, begin: Callable[[Any], Steps[Result]], new_batch: Callable[[], Batch], cores: int) -> None:
        self._begin, self._new_batch, self._cores = begin, new_batch, cores
        self._threads = [threading.Thread(target=self._serve, name=f"inference-{n}") for n in range(cores)]
        self._queue: ReadyQueue[Result] = ReadyQueue(cores)

    @property
    def in_flight(self) -> int:
        """How many jobs were submitted and are not finished, waiting or running."""
        return self._queue.in_flight

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

    async def submit(self, item: Any) -> Result:
        """Return the job's result. Raises what ``begin``, a step or a run raised.

        If the caller is cancelled, the job is closed before its next step; a job that has not started is never run.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.put(Job(self._steps(item), future))
        try:
            return await future
        finally:
            self._queue.leave()

    def _steps(self, item: Any) -> Steps[Result]:
        """Defers ``begin`` to the first step, and thereby to an inference thread."""
        return (yield from self._begin(item))

    def _serve(self) -> None:
        job = self._queue.next()
        while job is not None:
            batch, jobs = self._collect_batch(job)
            job = self._queue.next(self._run_batch(batch, jobs))

    def _collect_batch(self, first: Job[Result]) -> tuple[Batch, list[Job[Result]]]:
        """Start the first job and those whose runs go with its own. Returns no jobs if all of them have ended."""
        batch, jobs, taken = self._new_batch(), [], 0
        job: Job[Result] | None = first
        while job is not None:
            taken += 1
            if (outcome := job.start()) is not None:
                deliver_on(job.loop, [outcome])
            elif batch.add(job.pending):
                jobs.append(job)
            else:
                self._queue.requeue_front(job)
                break
            job = self._queue.take_more(taken) if batch.has_capacity else None
        return batch, jobs

    def _run_batch(self, batch: Batch, jobs: list[Job[Result]]) -> list[Job[Result]]:
        """Run the batch and resume its jobs. Returns those that are unfinished."""
        if not jobs:
            return []
        results = batch.run(self._cores if self._queue.in_flight == len(jobs) else 1)
        outcomes = [(job, job.resume(result)) for job, result in zip(jobs, results, strict=True)]
        if ended := [outcome for _, outcome in outcomes if outcome is not None]:
            deliver_on(jobs[0].loop, ended)
        return [job for job, outcome in outcomes if outcome is None]
