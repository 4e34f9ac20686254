"""Scores the documents of all requests: a job each, a few of them in flight at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any

from runtime.errors import Unavailable
from runtime.metrics.work_figures import WorkFigures
from runtime.rerank.request import RerankRequest
from runtime.rerank.scorer import Pair, QueryText
from runtime.scheduling.cost_class import Priority
from runtime.scheduling.job_queue import JobQueue
from runtime.scheduling.scheduler import FRESH_SHARE, USUAL_SECONDS

Submit = Callable[[QueryText | Pair, Hashable], Coroutine[Any, Any, Any]]
"""Runs an item as a job, and returns its result. Items of one key have the same result."""

JOBS_PER_CORE = 4
"""So many documents are in flight for each core: enough that no thread waits for the event loop, and few enough that a
request that has just come has its turn soon."""


class Reranker:
    """The logits of each request's documents. Belongs to the event loop's thread.

    Requests wait in a ``JobQueue``, where a document is a step. So the request with the fewest documents left is next,
    one that was begun is finished before another of its size begins, and one of five turns goes to the oldest.
    """

    def __init__(
        self,
        submit: Submit,
        in_flight: int,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        figures: WorkFigures | None = None,
    ) -> None:
        """``in_flight``: the most jobs at a time. ``seconds`` and ``figures``: as of ``Scheduler``."""
        self._submit, self._free, self._clock = submit, in_flight, clock
        self._seconds = seconds or USUAL_SECONDS
        self._figures = figures if figures is not None else WorkFigures()
        self._queue: JobQueue[_Ranking] = JobQueue(self._seconds * FRESH_SHARE)

    async def logits(self, request: RerankRequest, deadline: float | None = None) -> list[float]:
        """One for each document, in order; equal documents are scored once.

        ``deadline`` is by the event loop's clock, None: none. Raises ``Unavailable`` if nothing of the request was
        begun by then, and any other ``ServingError`` of a document: the first ends the request and its jobs.
        """
        if not request.documents:
            return []
        loop = asyncio.get_running_loop()
        ranking = _Ranking(request, loop.create_future(), self._clock())
        timer = None if deadline is None else loop.call_at(deadline, self._expire, ranking)
        self._queue.add(ranking)
        self._fill()
        try:
            await ranking.done
        finally:
            if timer is not None:
                timer.cancel()
            self._queue.discard(ranking)
            for task in ranking.tasks:
                task.cancel()
        return [ranking.logits[document] for document in request.documents]

    def _fill(self) -> None:
        """Begin jobs as long as requests wait and jobs are free."""
        while self._free and (ranking := self._queue.take(self._clock())) is not None:
            self._free -= 1
            task = asyncio.create_task(self._run(ranking, self._next_job(ranking)))
            ranking.tasks.add(task)
            task.add_done_callback(ranking.tasks.discard)
            # NOTE: a callback, because a task that is cancelled before it begins never runs.
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._free += 1
        self._fill()

    def _next_job(self, ranking: _Ranking) -> Callable[[], Coroutine[Any, Any, None]]:
        """Tokenizing the query, and then one document after another. The request waits again if any are left."""
        if ranking.query is None:
            return partial(self._read_query, ranking)
        document, index = ranking.waiting.popleft()
        ranking.cost = len(ranking.waiting)
        if ranking.waiting:
            self._queue.add(ranking)
        return partial(self._score, ranking, document, index)

    async def _run(self, ranking: _Ranking, job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await job()
        except Exception as error:
            ranking.fail(error)
            self._queue.discard(ranking)

    async def _read_query(self, ranking: _Ranking) -> None:
        ranking.query = await self._submit(QueryText(ranking.request.query), None)
        self._queue.add(ranking)

    async def _score(self, ranking: _Ranking, document: str, index: int) -> None:
        request = ranking.request
        name = f"{request.field}[{index}]"
        # NOTE: the message about a document that is too long names it, so that it is not the same for all.
        key = (request.query, document, None if request.truncate else name)
        ranking.logits[document] = await self._submit(Pair(ranking.query, document, name, request.truncate), key)
        ranking.finish()

    def _expire(self, ranking: _Ranking) -> None:
        # NOTE: a late answer beats a refusal, so a request that was begun is finished.
        if not ranking.begun:
            self._figures.missed()
            ranking.fail(Unavailable.not_begun(self._seconds))
            self._queue.discard(ranking)


class _Ranking:
    """A request on its way. Implements ``Waiting``: its cost is the number of documents that no job has had yet."""

    priority = Priority.QUERY
    begun = False

    def __init__(self, request: RerankRequest, done: asyncio.Future[None], since: float) -> None:
        self.request, self.done, self.since = request, done, since
        first_index: dict[str, int] = {}
        for index, document in enumerate(request.documents):
            first_index.setdefault(document, index)
        self.waiting = deque(first_index.items())
        self.cost = self._distinct = len(self.waiting)
        self.query: Any = None
        """Its tokens, once it has been read."""
        self.logits: dict[str, float] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def finish(self) -> None:
        """Wake the caller if this was the last document."""
        if len(self.logits) == self._distinct and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """Give the error to the caller."""
        if not self.done.done():
            self.done.set_exception(error)


def documents_in_flight(cores: int, pair_bytes: int, budget_bytes: int) -> int:
    """How many documents may be in flight: by cores, and by the memory that each takes; at least 1."""
    return max(1, min(JOBS_PER_CORE * cores, budget_bytes // max(1, pair_bytes)))
