"""``POST /vectors``: a text to its vector, as Weaviate's text2vec-transformers asks for it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from manifest import PoolingMode, Task, TextModel
from runtime.api.json_body import name_of, parse_object, show
from runtime.errors import InvalidRequest
from runtime.text.request import EmbedRequest, default_request

Embed = Callable[[EmbedRequest, float | None], Awaitable[NDArray[np.float32]]]
"""Takes a request and its deadline."""

DEFAULT_STRATEGY = "masked_mean"
"""Weaviate sends this whenever its user chose nothing, so it means "the model's own pooling"."""

TASKS = {task.value: task for task in Task}

STRATEGIES = {DEFAULT_STRATEGY: PoolingMode.MEAN, "cls": PoolingMode.CLS}


class VectorsEndpoint:
    """Implements ``Endpoint``. ``embed`` turns a request into its vector, (dim,)."""

    def __init__(
        self,
        embed: Embed,
        fits: Callable[[EmbedRequest], bool],
        model: TextModel,
        honor_pooling_strategy: bool,
    ) -> None:
        self._embed, self._fits, self._model = embed, fits, model
        self._honor_pooling_strategy = honor_pooling_strategy

    def parse(self, body: bytes) -> EmbedRequest:
        return parse_body(body, self._model, self._honor_pooling_strategy)

    def size(self, item: EmbedRequest) -> int:
        return sys.getsizeof(item.text)

    def fits(self, item: EmbedRequest) -> bool:
        return self._fits(item)

    async def answer(self, item: EmbedRequest, deadline: float | None) -> bytes:
        vector = await self._embed(item, deadline)
        answer = {"text": item.text, "vector": vector, "dim": len(vector)}
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def parse_body(body: bytes, model: TextModel, honor_pooling_strategy: bool) -> EmbedRequest:
    """Parse the JSON of ``POST /vectors``. Raises ``InvalidRequest`` that names the field and what it accepts.

    Unknown keys are ignored, because Weaviate's client sends some.
    """
    fields = parse_object(body)
    if "text" not in fields:
        raise InvalidRequest("text is missing; it must be a string")
    text = fields["text"]
    if not isinstance(text, str):
        raise InvalidRequest(f"text must be a string, not {name_of(text)}")
    config = fields.get("config")
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise InvalidRequest(f"config must be an object, not {name_of(config)}")
    task = _task(config.get("task_type"))
    request = default_request(model, text, task, _prompt_name(config.get("prompt_name"), model))
    if request is None:
        raise InvalidRequest("config.task_type is missing; this model needs it to be query or passage")
    pooling = _pooling(config.get("pooling_strategy"), request.pooling, honor_pooling_strategy)
    dimensions = _dimensions(config.get("dimensions"), model)
    # PERF: hardly any request has either, and a copy takes as long as all the rest.
    if pooling == request.pooling and dimensions is None:
        return request
    return replace(request, pooling=pooling, dimensions=dimensions)


def _task(value: Any) -> Task | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value in TASKS:
        return TASKS[value]
    raise InvalidRequest(f"config.task_type must be query or passage, not {show(value)}")


def _prompt_name(value: Any, model: TextModel) -> str | None:
    """An empty name is none, like an empty task."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and value in model.prompts:
        return value
    if not model.prompts:
        raise InvalidRequest(f"config.prompt_name must be absent, not {show(value)}: this model declares no prompts")
    names = ", ".join(sorted(model.prompts))
    raise InvalidRequest(f"config.prompt_name must be one of {names}, not {show(value)}")


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


def _dimensions(value: Any, model: TextModel) -> int | None:
    if value is None:
        return None
    if type(value) is int and 1 <= value <= model.dim:
        return value
    raise InvalidRequest(
        f"config.dimensions must be a whole number from 1 to {model.dim}, the model's dim, not {show(value)}"
    )
