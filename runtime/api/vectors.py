"""``POST /vectors``: a text to its vector, as Weaviate's text2vec-transformers asks for it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifest import PoolingMode, TextModel
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
    read_fields,
    read_prompt_name,
    read_task,
    text_and_config,
    vector_answer,
)
from runtime.errors import InvalidRequest
from runtime.text.request import EmbedRequest, default_request

Embed = Callable[[EmbedRequest, float | None], Awaitable[NDArray[np.float32]]]
"""Takes a request and its deadline."""

STRATEGIES = {DEFAULT_STRATEGY: PoolingMode.MEAN, "cls": PoolingMode.CLS}


class VectorsEndpoint:
    """Implements ``Endpoint``. ``embed`` turns a request into its vector, (dim,)."""

    def __init__(
        self,
        embed: Embed,
        fits: Callable[[EmbedRequest], bool],
        model: TextModel,
        honor_pooling_strategy: bool,
        batches: Batches | None = None,
    ) -> None:
        """``batches``: where requests with ``texts`` are answered, too."""
        self._embed, self._fits, self._model = embed, fits, model
        self._honor_pooling_strategy, self._batches = honor_pooling_strategy, batches
        self.operation = describe_vectors(
            config_schema(model.prompts, model.dim, STRATEGIES), None if batches is None else batches.served.max_texts
        )

    def parse(self, body: bytes) -> EmbedRequest | Batch:
        fields = parse_object(body)
        if self._batches is not None and fields.get("texts") is not None:
            like = request_of("", read_config(fields), self._model, self._honor_pooling_strategy)
            dim = self._batches.served.dim if like.dimensions is None else like.dimensions
            return self._batches.batch(parse_texts(fields, self._batches.served, dim), like)
        return request_of(*text_and_config(fields), self._model, self._honor_pooling_strategy)

    def size(self, item: EmbedRequest | Batch) -> int:
        return size_of_texts(item) if isinstance(item, Batch) else sys.getsizeof(item.text)

    def fits(self, item: EmbedRequest | Batch) -> bool:
        return isinstance(item, Batch) or self._fits(item)

    async def answer(self, item: EmbedRequest | Batch, deadline: float | None) -> Json:
        if isinstance(item, Batch):
            return await item.answer(deadline)
        return vector_answer(item.text, await self._embed(item, deadline))


def parse_body(body: bytes, model: TextModel, honor_pooling_strategy: bool) -> EmbedRequest:
    """Parse the JSON of ``POST /vectors``. Raises ``InvalidRequest`` that names the field and what it accepts."""
    return request_of(*read_fields(body), model, honor_pooling_strategy)


def request_of(text: str, config: dict[str, Any], model: TextModel, honor_pooling_strategy: bool) -> EmbedRequest:
    """The request for the text, as ``config`` says. Raises as ``parse_body``."""
    task = read_task(config)
    request = default_request(model, text, task, read_prompt_name(config, model.prompts))
    if request is None:
        raise InvalidRequest("config.task_type is missing; this model needs it to be query or passage")
    pooling = _pooling(config.get("pooling_strategy"), request.pooling, honor_pooling_strategy)
    dimensions = read_dimensions(config, model.dim)
    # PERF: hardly any request has either, and a copy takes as long as all the rest.
    if pooling == request.pooling and dimensions is None:
        return request
    return replace(request, pooling=pooling, dimensions=dimensions)


def _pooling(value: Any, declared: tuple[PoolingMode, ...], literally: bool) -> tuple[PoolingMode, ...]:
    if value is None or value == "" or (value == DEFAULT_STRATEGY and not literally):
        return declared
    if not isinstance(value, str) or value not in STRATEGIES:
        raise InvalidRequest(f"config.pooling_strategy must be masked_mean or cls, not {show(value)}")
    if len(declared) > 1:
        raise InvalidRequest(
            f"config.pooling_strategy must be absent, not {show(value)}: this model joins the vectors of "
            f"{' and '.join(declared)}"
        )
    return (STRATEGIES[value],)
