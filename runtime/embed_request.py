"""Parses a request body once into a frozen, checked value; nothing behind this point checks it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from manifest import Pooling, Task, TextModel
from runtime.errors import InvalidRequest

DEFAULT_STRATEGY = "masked_mean"
"""Weaviate sends this whenever its user chose nothing, so it means «the model's own pooling»."""


@dataclass(frozen=True)
class EmbedRequest:
    """A text with everything decided: the prompt to put in front, the pooling, the components to keep (None: all)."""

    text: str
    prompt: str
    pooling: Pooling
    dimensions: int | None


def parse_body(body: bytes, model: TextModel, honor_pooling_strategy: bool) -> EmbedRequest:
    """Parse the JSON of ``POST /vectors``. Raises ``InvalidRequest`` that names the field and what it accepts.

    Unknown keys are ignored: Weaviate's client sends some.
    """
    fields = _parse_object(body)
    if "text" not in fields:
        raise InvalidRequest("text is missing, and must be a string")
    text = fields["text"]
    if not isinstance(text, str):
        raise InvalidRequest(f"text is {_name(text)}, and must be a string")
    config = fields.get("config")
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise InvalidRequest(f"config is {_name(config)}, and must be an object")
    return EmbedRequest(
        text=text,
        prompt=prompt_text(model, _task(config.get("task_type"))),
        pooling=_pooling(config.get("pooling_strategy"), model, honor_pooling_strategy),
        dimensions=_dimensions(config.get("dimensions"), model),
    )


def prompt_text(model: TextModel, task: Task | None) -> str:
    """The text to put in front: the task's prompt, without a task the default prompt, else nothing."""
    name = model.default_prompt if task is None else model.tasks.get(task)
    return "" if name is None else model.prompts[name]


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON in UTF-8: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"the body is {_name(value)}, and must be an object with a text")
    return value


def _task(value: Any) -> Task | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and value in tuple(Task):
        return Task(value)
    raise InvalidRequest(f"config.task_type is {_show(value)}, and must be query or passage")


def _pooling(value: Any, model: TextModel, literally: bool) -> Pooling:
    if value is None or value == "":
        return model.pooling
    if value == DEFAULT_STRATEGY:
        return Pooling.MEAN if literally else model.pooling
    if value == Pooling.CLS:
        return Pooling.CLS
    raise InvalidRequest(f"config.pooling_strategy is {_show(value)}, and must be masked_mean or cls")


def _dimensions(value: Any, model: TextModel) -> int | None:
    if value is None:
        return None
    if type(value) is int and 1 <= value <= model.dim:
        return value
    raise InvalidRequest(
        f"config.dimensions is {_show(value)}, and must be a whole number from 1 to {model.dim}, the model's dim"
    )


def _show(value: Any) -> str:
    """The value as JSON where it is short, else its kind: messages must not carry a body back."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= 40 else _name(value)


def _name(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
