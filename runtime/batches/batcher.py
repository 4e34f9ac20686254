"""Embeds the texts of all requests that have many: in groups, each a job, a few of them in flight at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import numpy as np

from runtime.batches.request import Array, BatchRequest, Embedded, Group, TakeRows
from runtime.batches.split import divide
from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.cost_class import Priority
from runtime.scheduling.parts import Part, Parted, Parts, Places, Room

Submit = Callable[[Group, Priority], Coroutine[Any, Any, Embedded]]
"""Runs a group as a job."""

GROUP_TEXTS = 64
GROUP_CHARACTERS = 4096
"""Some eight runs of the model: enough that their jobs cost little for each text, and that most runs are full; and few
enough that another long request has its turn soon, which waits until a group has ended. A longer text is a group of its
own."""


class Spread(Places, Protocol):
    """Groups that run in several places."""

    @property
    def threads(self) -> int:
        """How many groups can be computed at once now."""

    async def run(self, place: int, group: Group, priority: Priority) -> Embedded:
        """The vectors of a group, in the place that was taken for it."""


class Here(Room):
    """Implements ``Spread``: all groups are jobs of one scheduler. Short requests may have one more for each thread."""

    def __init__(self, submit: Submit, threads: int, in_flight: int) -> None:
        super().__init__(in_flight, reserved=threads)
        self._submit, self.threads = submit, threads

    async def run(self, place: int, group: Group, priority: Priority) -> Embedded:
        return await self._submit(group, priority)


class Batcher:
    """The vectors of each request's texts. Belongs to the event loop's thread."""

    def __init__(
        self,
        submit: Submit,
        cores: int,
        in_flight: int,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        figures: WorkFigures | None = None,
    ) -> None:
        """``in_flight``: the most groups of long requests at a time; short ones have a group for each of the ``cores``.

        ``seconds`` and ``figures``: as of ``Scheduler``.
        """
        self.submit, self.in_flight = submit, in_flight
        self._spread: Spread = Here(submit, cores, in_flight)
        self._parts = Parts(self._spread, seconds, clock, figures, short=cores)

    def spread(self, spread: Spread) -> None:
        """Run groups in these places from now on. To be called before the first request."""
        self._spread = self._parts.places = spread

    async def embed(self, request: BatchRequest, deadline: float | None = None) -> Embedded:
        """One vector for each text, in order; equal texts are embedded once. There must be a text.

        Raises as ``Parts.run``; an ``InvalidRequest`` names the text.
        """
        batch = _Batch(request, self._spread)
        await self._parts.run(batch, deadline)
        return batch.result()


class _Batch(Parted):
    """A request on its way: each group of its distinct texts is a part."""

    def __init__(self, request: BatchRequest, spread: Spread) -> None:
        self._request, self._spread = request, spread
        # A text's place among the distinct ones, and the first index of each of those.
        places: dict[str, int] = {}
        self._places = [places.setdefault(text, len(places)) for text in request.texts]
        self._texts = list(places)
        self._first = _first_indices(self._places, len(places))
        lengths = list(map(len, self._texts))
        self._waiting = deque(divide(lengths, GROUP_TEXTS, GROUP_CHARACTERS, spread.threads))
        self._left = len(self._waiting)
        super().__init__(self._left, Priority.QUERY if request.like.is_query else Priority.PASSAGE)
        self._vectors: Array = np.empty((0, 0), np.float32)
        self._tokens = [0] * len(self._texts)
        # So many vectors were handed out, and where groups end that are complete, by their beginning.
        self._handed, self._ends = 0, dict[int, int]()

    @property
    def has_parts(self) -> bool:
        return bool(self._waiting)

    @property
    def is_complete(self) -> bool:
        return not self._left

    def take_part(self, place: int) -> Part:
        start, end = self._waiting.popleft()
        self.cost = len(self._waiting)
        return partial(self._embed, place, start, end)

    def result(self) -> Embedded:
        """The vectors of all texts, in the order sent."""
        if len(self._texts) == len(self._places):
            return Embedded(self._vectors, self._tokens)
        return Embedded(self._vectors[self._places], [self._tokens[place] for place in self._places])

    async def _embed(self, place: int, start: int, end: int) -> None:
        request = self._request
        names = [f"{request.field}[{index}]" if request.is_list else request.field for index in self._first[start:end]]
        group = Group(self._texts[start:end], names, request.like)
        found = await self._spread.run(place, group, self.priority)
        if not len(self._vectors):
            self._vectors = np.empty((len(self._texts), found.vectors.shape[1]), found.vectors.dtype)
        self._vectors[start:end] = found.vectors
        self._tokens[start:end] = found.tokens
        self._left -= 1
        # Where texts are equal, vectors are put in order at the end.
        if request.take_rows is not None and len(self._texts) == len(self._places):
            self._ends[start] = end
            self._hand_out(request.take_rows)

    def _hand_out(self, take: TakeRows) -> None:
        """Hand out the vectors that are next."""
        # PERF: two groups at most, since others wait for their turn meanwhile.
        for _ in range(2):
            if (end := self._ends.pop(self._handed, None)) is None:
                return
            take(self._vectors[self._handed : end])
            self._handed = end


def _first_indices(places: list[int], count: int) -> list[int]:
    """The index of the first text at each place."""
    if len(places) == count:
        return list(range(count))
    first = [0] * count
    for index in range(len(places) - 1, -1, -1):
        first[places[index]] = index
    return first
