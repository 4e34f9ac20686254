"""Scores all documents of a request: a job each, a few of them in flight at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from runtime.rerank.request import RerankRequest
from runtime.rerank.scorer import Pair, QueryText

Submit = Callable[[QueryText | Pair], Coroutine[Any, Any, Any]]
"""Runs an item as a job, and returns its result."""

JOBS_PER_CORE = 4
"""So many documents of one request are in flight for each core: enough that no thread waits for the event loop, and few
enough that those of another request have their turn soon."""


class Reranker:
    """The logits of a request's documents. Belongs to the event loop's thread."""

    def __init__(self, submit: Submit, in_flight: int) -> None:
        """``in_flight``: the most documents of one request that are jobs at a time."""
        self._submit, self._in_flight = submit, in_flight

    async def logits(self, request: RerankRequest) -> list[float]:
        """One for each document, in order; equal documents are scored once. Raises ``ServingError``.

        The first error ends the request, and its other jobs.
        """
        if not request.documents:
            return []
        query = await self._submit(QueryText(request.query))
        found: dict[str, float] = {}
        first_index: dict[str, int] = {}
        for index, document in enumerate(request.documents):
            first_index.setdefault(document, index)
        waiting = iter(first_index.items())

        async def score() -> None:
            for document, index in waiting:
                pair = Pair(query, document, f"{request.field}[{index}]", request.truncate)
                found[document] = await self._submit(pair)

        tasks = [asyncio.create_task(score()) for _ in range(min(self._in_flight, len(first_index)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return [found[document] for document in request.documents]


def documents_in_flight(cores: int, pair_bytes: int, budget_bytes: int) -> int:
    """How many documents of a request may be in flight: by cores, and by the memory that each takes; at least 1."""
    return max(1, min(JOBS_PER_CORE * cores, budget_bytes // max(1, pair_bytes)))
