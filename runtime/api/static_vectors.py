"""``POST /vectors`` of static models, as Weaviate's text2vec-model2vec asks for it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from manifest import StaticModel, Task
from runtime.api.json_body import show
from runtime.api.vectors_fields import (
    DEFAULT_STRATEGY,
    read_dimensions,
    read_fields,
    read_prompt_name,
    read_task,
    vector_answer,
)
from runtime.errors import InvalidRequest
from runtime.static.embedder import StaticEmbedder, Vector
from runtime.static.request import StaticRequest

STRATEGIES = (DEFAULT_STRATEGY, "cls")
"""Accepted without effect, because a static model has one way of pooling."""


class StaticVectorsEndpoint:
    """Implements ``Endpoint``. Short texts are embedded at once, on the event loop; ``submit`` takes the others."""

    def __init__(
        self,
        embedder: StaticEmbedder,
        submit: Callable[[StaticRequest, float | None], Awaitable[Vector]],
        model: StaticModel,
    ) -> None:
        """``submit`` takes a request and its deadline."""
        self._embedder, self._submit, self._model = embedder, submit, model

    def parse(self, body: bytes) -> StaticRequest:
        return parse_static_body(body, self._model)

    def size(self, item: StaticRequest) -> int:
        return sys.getsizeof(item.text)

    def fits(self, item: StaticRequest) -> bool:
        return True

    async def answer(self, item: StaticRequest, deadline: float | None) -> bytes:
        # PERF: a thread would take longer to begin and to report back than a short text takes.
        short = self._embedder.is_short(item)
        return vector_answer(item.text, self._embedder.embed(item) if short else await self._submit(item, deadline))


def parse_static_body(body: bytes, model: StaticModel) -> StaticRequest:
    """Parse the JSON of ``POST /vectors``. Raises ``InvalidRequest`` that names the field and what it accepts."""
    text, config = read_fields(body)
    task = read_task(config)
    _check_pooling(config.get("pooling_strategy"))
    return StaticRequest(
        text=text,
        prompt=model.prompt(task, read_prompt_name(config, model.prompts)),
        dimensions=read_dimensions(config, model.dim),
        is_query=task is Task.QUERY,
    )


def _check_pooling(value: Any) -> None:
    if value is not None and value != "" and value not in STRATEGIES:
        raise InvalidRequest(f"config.pooling_strategy must be masked_mean or cls, not {show(value)}")
