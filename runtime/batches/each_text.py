"""Runs a job for each text of a request, where the results have more in them than a vector."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from runtime.batches.request import BatchRequest, Group
from runtime.errors import InvalidRequest
from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.cost_class import Priority
from runtime.scheduling.parts import Part, Parted, Parts, Room


@dataclass(frozen=True)
class PerToken:
    """Something about each token of a text."""

    tokens: int
    """How many there are."""
    value: Any


def too_many_tokens(name: str, most: int) -> InvalidRequest:
    """There is no memory to say something about more tokens, of a text or of several."""
    return InvalidRequest(f"{name} must have at most {most} tokens in all, for which there is memory")


Submit = Callable[[Group, Priority], Coroutine[Any, Any, PerToken]]
"""Runs a group of one text as a job."""


class EachText:
    """The results of each request's texts. Belongs to the event loop's thread."""

    def __init__(
        self,
        submit: Submit,
        in_flight: int,
        max_tokens: int,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        figures: WorkFigures | None = None,
    ) -> None:
        """``in_flight``: the most texts at a time. ``max_tokens``: of a request's texts together.

        ``seconds`` and ``figures``: as of ``Scheduler``.
        """
        self.max_tokens = max_tokens
        self._figures = figures if figures is not None else WorkFigures()
        self._submit, self._parts = submit, Parts(Room(in_flight), seconds, clock, figures)

    async def results(self, request: BatchRequest, deadline: float | None = None) -> list[PerToken]:
        """One for each text, in order.

        Raises as ``Parts.run``; an ``InvalidRequest`` names the text, or says that there are too many tokens.
        """
        if not request.texts:
            return []
        texts = _Texts(request, self._submit, self.max_tokens)
        with self._figures.pending(sum(map(len, request.texts)), len(request.texts)):
            await self._parts.run(texts, deadline)
        return [texts.results[index] for index in range(len(request.texts))]


class _Texts(Parted):
    """A request on its way: each text is a part."""

    def __init__(self, request: BatchRequest, submit: Submit, max_tokens: int) -> None:
        self._request, self._submit, self._max_tokens = request, submit, max_tokens
        self._waiting = deque(range(len(request.texts)))
        self._tokens = 0
        self.results: dict[int, PerToken] = {}
        super().__init__(len(self._waiting), Priority.QUERY if request.like.is_query else Priority.PASSAGE)

    @property
    def has_parts(self) -> bool:
        return bool(self._waiting)

    @property
    def is_complete(self) -> bool:
        return len(self.results) == len(self._request.texts)

    def take_part(self, place: int) -> Part:
        index = self._waiting.popleft()
        self.cost = len(self._waiting)
        return partial(self._run, index)

    async def _run(self, index: int) -> None:
        request = self._request
        name = f"{request.field}[{index}]" if request.is_list else request.field
        found = await self._submit(Group([request.texts[index]], [name], request.like), self.priority)
        self._tokens += found.tokens
        if self._tokens > self._max_tokens:
            raise too_many_tokens(request.field, self._max_tokens)
        self.results[index] = found
