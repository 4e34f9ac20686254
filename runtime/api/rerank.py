"""``POST /rerank``, ``/v1/rerank`` and ``/v2/rerank``: a query and documents to scores."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence

import orjson

from manifest import Activation
from runtime.api.openapi.operation import Operation
from runtime.api.rerank_forms import SCORES, Form, Question
from runtime.errors import InferenceFailed
from runtime.rerank.request import RerankRequest
from runtime.rerank.scores import scores_of

Logits = Callable[[RerankRequest, float | None], Awaitable[list[float]]]


class RerankEndpoint:
    """Implements ``Endpoint``, for the shapes of one path. ``logits`` has one number for each document, in order."""

    def __init__(
        self,
        logits: Logits,
        fits: Callable[[str, str], bool],
        activation: Activation,
        parse: Callable[[bytes], Question],
        operation: Operation = SCORES,
    ) -> None:
        self.operation = operation
        self._logits, self._fits, self._activation, self._parse = logits, fits, activation, parse

    def parse(self, body: bytes) -> Question:
        return self._parse(body)

    def size(self, item: Question) -> int:
        request = item.request
        return sys.getsizeof(request.query) + sum(map(sys.getsizeof, request.documents))

    def fits(self, item: Question) -> bool:
        return all(self._fits(item.request.query, document) for document in item.request.documents)

    async def answer(self, item: Question, deadline: float | None) -> bytes:
        logits = await self._logits(item.request, deadline)
        return orjson.dumps(item.form.answer(item.request, self._scores(logits, item.form)))

    def _scores(self, logits: Sequence[float], form: Form) -> list[float]:
        """Raises ``InferenceFailed`` for a number that is not finite, which JSON would turn into null."""
        scores = scores_of(logits, Activation.IDENTITY if form.raw_scores else self._activation)
        if scores is None:
            raise InferenceFailed("the model returned a score that is not finite")
        return scores
