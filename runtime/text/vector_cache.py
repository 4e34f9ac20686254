"""Answers requests of the last minutes from memory: ``ENABLE_CACHE``."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.recent_results import RecentResults
from runtime.text.embedder import Vector
from runtime.text.request import EmbedRequest

MAX_BYTES = 32 << 20
MAX_SECONDS = 600.0

ENTRY_BYTES = 1024
"""What an entry takes besides its text and its numbers: at most half of this was measured."""

Embed = Callable[[EmbedRequest, float | None], Awaitable[Vector]]
"""Takes a request and its deadline."""


def cached(
    embed: Embed,
    recent: RecentResults[Vector] | None = None,
    max_bytes: int = MAX_BYTES,
    figures: WorkFigures | None = None,
) -> Callable[[EmbedRequest, float | None], Coroutine[Any, Any, Vector]]:
    """``embed``, asked only for what is not among the ``recent`` vectors. What fails is not kept.

    ``max_bytes``: of new ones. ``figures``: where hits are counted.
    """
    results = recent if recent is not None else RecentResults[Vector](max_bytes, MAX_SECONDS)

    async def embed_or_remember(request: EmbedRequest, deadline: float | None) -> Vector:
        vector = results.get(request)
        if figures is not None:
            figures.looked_up(vector is not None)
        if vector is None:
            vector = await embed(request, deadline)
            # NOTE: a vector of fewer dimensions is a view of the whole one, which stays in memory.
            whole = vector if vector.base is None else vector.base
            results.put(request, vector, sys.getsizeof(request.text) + whole.nbytes + ENTRY_BYTES)
        return vector

    return embed_or_remember
