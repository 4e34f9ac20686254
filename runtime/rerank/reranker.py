"""Scores the documents of all requests: a job each, a few of them in flight at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any

from runtime.metrics.work_figures import WorkFigures
from runtime.rerank.request import RerankRequest
from runtime.rerank.scorer import Pair, QueryText
from runtime.scheduling.cost_class import Priority
from runtime.scheduling.parts import Part, Parted, Parts, Room

Submit = Callable[[QueryText | Pair, Hashable], Coroutine[Any, Any, Any]]
"""Runs an item as a job, and returns its result. Items of one key have the same result."""


class Reranker:
    """The logits of each request's documents. Belongs to the event loop's thread."""

    def __init__(
        self,
        submit: Submit,
        in_flight: int,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        figures: WorkFigures | None = None,
    ) -> None:
        """``in_flight``: the most jobs at a time. ``seconds`` and ``figures``: as of ``Scheduler``."""
        self._submit, self._parts = submit, Parts(Room(in_flight), seconds, clock, figures)

    async def logits(self, request: RerankRequest, deadline: float | None = None) -> list[float]:
        """One for each document, in order; equal documents are scored once. Raises as ``Parts.run``."""
        if not request.documents:
            return []
        ranking = _Ranking(request, self._submit)
        await self._parts.run(ranking, deadline)
        return [ranking.logits[document] for document in request.documents]


class _Ranking(Parted):
    """A request on its way. Its first part is to tokenize the query, and then each document is one."""

    def __init__(self, request: RerankRequest, submit: Submit) -> None:
        self._request, self._submit = request, submit
        first_index: dict[str, int] = {}
        for index, document in enumerate(request.documents):
            first_index.setdefault(document, index)
        self._waiting = deque(first_index.items())
        super().__init__(len(self._waiting), Priority.QUERY)
        self._distinct = len(self._waiting)
        self._query: Any = None
        self._is_reading = False
        self.logits: dict[str, float] = {}

    @property
    def has_parts(self) -> bool:
        return not self._is_reading and bool(self._waiting)

    @property
    def is_complete(self) -> bool:
        return len(self.logits) == self._distinct

    def take_part(self, place: int) -> Part:
        if self._query is None:
            self._is_reading = True
            return self._read_query
        document, index = self._waiting.popleft()
        self.cost = len(self._waiting)
        return partial(self._score, document, index)

    async def _read_query(self) -> None:
        self._query = await self._submit(QueryText(self._request.query), None)
        self._is_reading = False

    async def _score(self, document: str, index: int) -> None:
        request = self._request
        name = f"{request.field}[{index}]"
        # NOTE: the message about a document that is too long names it, so that it is not the same for all.
        key = (request.query, document, None if request.truncate else name)
        self.logits[document] = await self._submit(Pair(self._query, document, name, request.truncate), key)
