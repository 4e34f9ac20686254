"""Parses a request body once into a frozen, checked value; nothing behind this point checks it again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import orjson

from manifest import PoolingMode, Task, TextModel
from runtime.errors import InvalidRequest

DEFAULT_STRATEGY = "masked_mean"
"""Weaviate sends this whenever its user chose nothing, so it means «the model's own pooling»."""

TASKS = {task.value: task for task in Task}

STRATEGIES = {DEFAULT_STRATEGY: PoolingMode.MEAN, "cls": PoolingMode.CLS}


@dataclass(frozen=True)
class EmbedRequest:
    """A text with everything decided.

    ``encoder``: the name of the one to take; ``prompt``: the text to put in front; ``pooling``: the modes;
    ``left_out``: how many leading tokens pooling leaves out; ``dimensions``: the components to keep (None: all).
    """

    text: str
    encoder: str
    prompt: str
    pooling: tuple[PoolingMode, ...]
    left_out: int
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
    request = plain_request(model, text, _task(config.get("task_type")), _prompt_name(config.get("prompt_name"), model))
    pooling = _pooling(config.get("pooling_strategy"), request.pooling, honor_pooling_strategy)
    dimensions = _dimensions(config.get("dimensions"), model)
    # PERF: hardly any request asks for either, and a copy takes as long as all the rest.
    if pooling == request.pooling and dimensions is None:
        return request
    return replace(request, pooling=pooling, dimensions=dimensions)


def plain_request(model: TextModel, text: str, task: Task | None, prompt_name: str | None) -> EmbedRequest:
    """The request for a text in the model's own ways. Raises ``InvalidRequest`` where a model needs a task."""
    name = model.encoder_name(task)
    if name is None:
        raise InvalidRequest("config.task_type is missing, and must be query or passage: this model tells them apart")
    encoder = model.encoders[name]
    prompt = prompt_name or model.prompt_name(task)
    return EmbedRequest(
        text=text,
        encoder=name,
        prompt=model.prompt(task, prompt_name),
        pooling=encoder.pooling.modes,
        left_out=0 if prompt is None else encoder.prompt_tokens.get(prompt, 0),
        dimensions=None,
    )


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
    if isinstance(value, str) and value in TASKS:
        return TASKS[value]
    raise InvalidRequest(f"config.task_type is {_show(value)}, and must be query or passage")


def _prompt_name(value: Any, model: TextModel) -> str | None:
    """An empty name is none, like an empty task."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and value in model.prompts:
        return value
    declared = f"one of {', '.join(sorted(model.prompts))}" if model.prompts else "absent: this model declares none"
    raise InvalidRequest(f"config.prompt_name is {_show(value)}, and must be {declared}")


def _pooling(value: Any, declared: tuple[PoolingMode, ...], literally: bool) -> tuple[PoolingMode, ...]:
    if value is None or value == "" or (value == DEFAULT_STRATEGY and not literally):
        return declared
    if not isinstance(value, str) or value not in STRATEGIES:
        raise InvalidRequest(f"config.pooling_strategy is {_show(value)}, and must be masked_mean or cls")
    if len(declared) > 1:
        raise InvalidRequest(
            f"config.pooling_strategy is {_show(value)}, and must be absent: this model joins the vectors of "
            f"{' and '.join(declared)}"
        )
    return (STRATEGIES[value],)


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
