"""``POST /vectors`` of static models, as Weaviate's text2vec-model2vec asks for it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from manifest import StaticModel, Task
from runtime.api.embeddings.endpoint import Batch, Batches, size_of_texts
from runtime.api.embeddings.texts import parse_texts
from runtime.api.endpoint import Json
from runtime.api.json_body import parse_object, show
from runtime.api.vectors_fields import (
    DEFAULT_STRATEGY,
    config_schema,
    describe_vectors,
    read_config,
    read_dimensions,
    read_prompt_name,
    read_task,
    text_and_config,
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
        batches: Batches | None = None,
    ) -> None:
        """``submit`` takes a request and its deadline. ``batches``: where requests with ``texts`` are answered, too."""
        self._embedder, self._submit, self._model, self._batches = embedder, submit, model, batches
        self.operation = describe_vectors(
            config_schema(model.prompts, model.dim, STRATEGIES), None if batches is None else batches.served.max_texts
        )

    def parse(self, body: bytes) -> StaticRequest | Batch:
        fields = parse_object(body)
        if self._batches is not None and fields.get("texts") is not None:
            like = static_request_of("", read_config(fields), self._model)
            dim = self._batches.served.dim if like.dimensions is None else like.dimensions
            return self._batches.batch(parse_texts(fields, self._batches.served, dim), like)
        return static_request_of(*text_and_config(fields), self._model)

    def size(self, item: StaticRequest | Batch) -> int:
        return size_of_texts(item) if isinstance(item, Batch) else sys.getsizeof(item.text)

    def fits(self, item: StaticRequest | Batch) -> bool:
        return True

    async def answer(self, item: StaticRequest | Batch, deadline: float | None) -> Json:
        if isinstance(item, Batch):
            return await item.answer(deadline)
        # PERF: a thread would take longer to begin and to report back than a short text takes.
        short = self._embedder.is_short(item)
        return vector_answer(item.text, self._embedder.embed(item) if short else await self._submit(item, deadline))


def static_request_of(text: str, config: dict[str, Any], model: StaticModel) -> StaticRequest:
    """The request for the text, as ``config`` says. Raises ``InvalidRequest`` that names the field."""
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
