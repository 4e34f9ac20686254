"""Turns one pair of texts into one logit: tokens, inference, pooling, layers. Knows nothing of HTTP or queues."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from manifest import Encoder
from runtime.errors import InferenceFailed, InvalidRequest
from runtime.inference.engine import Engine
from runtime.inference.token_run import TokenRun
from runtime.metrics.work_figures import WorkFigures
from runtime.rerank.pair_tokens import PairTokens, Reading, TextTokens
from runtime.scheduling.job import Step
from runtime.text.head import Head
from runtime.text.pooling import only_token, pool


@dataclass(frozen=True)
class QueryText:
    """A query that is to be tokenized, once for all documents of a request."""

    text: str


@dataclass(frozen=True)
class Pair:
    """A tokenized query and a document."""

    query: TextTokens
    document: str
    name: str
    """What messages call the document."""
    truncate: bool


class Scorer:
    """The path from a pair of texts to its logit. Thread-safe."""

    def __init__(
        self, encoder: Encoder, pairs: PairTokens, engine: Engine, head: Head, figures: WorkFigures | None = None
    ) -> None:
        """``figures``: where pairs are counted."""
        self._figures = figures if figures is not None else WorkFigures()
        self._encoder, self._pairs, self._engine, self._head = encoder, pairs, engine, head

    def begin(self, item: QueryText | Pair) -> Generator[Step, Any, Any]:
        """The steps of a job: a query's tokens, ``TextTokens``, or a pair's logit, a float.

        Raises ``InvalidRequest`` for a pair that is too long and may not be truncated, and ``InferenceFailed``, also
        for a logit that is not finite.
        """
        return self._pairs.query(item.text) if isinstance(item, QueryText) else self._logit(item)

    def fits(self, query: str, document: str) -> bool:
        """Whether nothing of the pair is cut off."""
        tokens = _finish(self._pairs.query(query))
        return self._pairs.tokens(tokens, _finish(self._pairs.document(document, tokens))) <= self._pairs.max_tokens

    def _logit(self, pair: Pair) -> Generator[Step, Any, float]:
        document = yield from self._pairs.document(pair.document, pair.query)
        length = self._pairs.tokens(pair.query, document)
        if not pair.truncate and length > self._pairs.max_tokens:
            raise InvalidRequest(
                f"{pair.name} and the query must have at most {self._pairs.max_tokens} tokens together: "
                "shorten them, or allow truncation"
            )
        modes = self._encoder.pooling.modes
        batch = self._pairs.join(pair.query, document)
        batch = batch.wanting(only_token(modes, 0, len(batch.ids)))
        memory = self._encoder.memory.of(len(batch.ids))
        tokens = yield Step(TokenRun(self._engine, batch, memory), 1)
        logit = float(self._head.apply(pool(tokens, modes, 0))[0])
        if not math.isfinite(logit):
            raise InferenceFailed("the model returned a score that is not finite")
        self._figures.computed(len(batch.ids), truncated=length > self._pairs.max_tokens)
        return logit


def _finish(reading: Reading) -> TextTokens:
    """Tokenize without pauses."""
    while True:
        try:
            next(reading)
        except StopIteration as stop:
            tokens: TextTokens = stop.value
            return tokens
