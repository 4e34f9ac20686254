"""An endpoint for the vectors of many texts: one shape's parser, any kind of model."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from runtime.api.embeddings.asked import Asked, Choice, Served
from runtime.api.embeddings.fields import Fields
from runtime.api.embeddings.layout import BYTES_PER_NUMBER, Answer, Layout
from runtime.api.endpoint import Json, LargeAnswer
from runtime.api.json_body import parse_object
from runtime.api.openapi.operation import Operation
from runtime.batches.request import BatchRequest, Embedded

Embed = Callable[[BatchRequest, float | None], Awaitable[Embedded]]
"""Takes a request and its deadline."""


LikeOf = Callable[[Choice], Any]
"""The request for one text that is embedded as chosen. Raises ``InvalidRequest`` for what the model cannot do."""

Parse = Callable[[Fields, Served], Asked]


@dataclass(frozen=True)
class Batch(LargeAnswer):
    """A request with everything decided, and the shape of its answer."""

    request: BatchRequest
    layout: Layout
    embed: Embed

    async def answer(self, deadline: float | None) -> Json:
        """The JSON of the answer. Raises as ``Batcher.embed``."""
        answer = Answer(self.layout)
        return await answer.end(await self.embed(replace(self.request, take_rows=answer.add), deadline))


class Batches:
    """What all endpoints of a model share: the model, and what requests are checked against."""

    def __init__(self, served: Served, like_of: LikeOf, embed: Embed) -> None:
        self.served, self.like_of, self._embed = served, like_of, embed

    def batch(self, asked: Asked, like: Any = None) -> Batch:
        """The request, for texts ``like`` this one, or as chosen. Raises ``InvalidRequest``."""
        if like is None:
            like = self.like_of(asked.choice)
        request = BatchRequest(asked.texts, asked.field, asked.is_list, like)
        embed = self._embed if asked.texts else self._nothing
        return Batch(len(asked.texts) * self.served.dim * BYTES_PER_NUMBER, request, asked.layout, embed)

    async def _nothing(self, request: BatchRequest, deadline: float | None) -> Embedded:
        return Embedded(np.empty((0, self.served.dim), np.float32), ())


def size_of_texts(batch: Batch) -> int:
    """Bytes of memory that the texts take."""
    return sum(map(sys.getsizeof, batch.request.texts))


class EmbeddingsEndpoint:
    """Implements ``Endpoint``."""

    def __init__(self, parse: Parse, operation: Operation, batches: Batches) -> None:
        self.operation, self._parse, self._batches = operation, parse, batches

    def parse(self, body: bytes) -> Batch:
        asked = self._parse(parse_object(body, "an object"), self._batches.served)
        return self._batches.batch(asked)

    def size(self, item: Batch) -> int:
        return size_of_texts(item)

    def fits(self, item: Batch) -> bool:
        return True

    async def answer(self, item: Batch, deadline: float | None) -> Json:
        return await item.answer(deadline)
