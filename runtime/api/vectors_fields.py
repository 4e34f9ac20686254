"""The fields of ``POST /vectors`` that all kinds of model share: each is read, checked, and named in errors."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from manifest import Task
from runtime.api.json_body import name_of, parse_object, show, whole_number
from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import (
    COUNT,
    NULL,
    STRING,
    VECTOR,
    VECTORS,
    Schema,
    array_of,
    either,
    integer,
    object_of,
    one_of,
    optional,
)
from runtime.errors import InvalidRequest

DEFAULT_STRATEGY = "masked_mean"
"""Weaviate sends this whenever its user chose nothing, so it means "the model's own pooling"."""

TASKS = {task.value: task for task in Task}


def read_fields(body: bytes) -> tuple[str, dict[str, Any]]:
    """The text and the config. Raises ``InvalidRequest``. Unknown keys are ignored: Weaviate's client sends some."""
    return text_and_config(parse_object(body))


def text_and_config(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The text and the config of a parsed body. Raises as ``read_fields``."""
    if "text" not in fields:
        raise InvalidRequest("text is missing; it must be a string")
    text = fields["text"]
    if not isinstance(text, str):
        raise InvalidRequest(f"text must be a string, not {name_of(text)}")
    return text, read_config(fields)


def read_config(fields: dict[str, Any]) -> dict[str, Any]:
    """The config, which may be absent."""
    config = fields.get("config")
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise InvalidRequest(f"config must be an object, not {name_of(config)}")
    return config


def read_task(config: dict[str, Any]) -> Task | None:
    """The ``task_type``; an empty one is none."""
    value = config.get("task_type")
    if value is None or value == "":
        return None
    if isinstance(value, str) and value in TASKS:
        return TASKS[value]
    raise InvalidRequest(f"config.task_type must be query or passage, not {show(value)}")


def read_prompt_name(config: dict[str, Any], prompts: Collection[str], path: str = "config.") -> str | None:
    """The ``prompt_name``, which must be one of ``prompts``. An empty name is none, like an empty task.

    ``path``: before its name in messages.
    """
    value = config.get("prompt_name")
    if value is None or value == "":
        return None
    if isinstance(value, str) and value in prompts:
        return value
    if not prompts:
        raise InvalidRequest(f"{path}prompt_name must be absent, not {show(value)}: this model declares no prompts")
    names = ", ".join(sorted(prompts))
    raise InvalidRequest(f"{path}prompt_name must be one of {names}, not {show(value)}")


def prompt_schema(prompts: Collection[str]) -> Schema:
    """What ``read_prompt_name`` accepts."""
    return one_of([None, "", *sorted(prompts)])


def read_dimensions(config: dict[str, Any], dim: int) -> int | None:
    """How many components to keep, of ``dim``; None: all."""
    value = config.get("dimensions")
    if value is None:
        return None
    number = whole_number(value)
    if number is not None and 1 <= number <= dim:
        return number
    raise InvalidRequest(
        f"config.dimensions must be a whole number from 1 to {dim}, the model's dim, not {show(value)}"
    )


def describe_vectors(config: Schema, max_texts: int | None) -> Operation:
    """A text, or as many as ``max_texts`` where that is not None, with the ``config`` of a model."""
    one = object_of({"text": STRING, "texts": NULL, "config": config}, ["text"])
    answer = object_of({"text": STRING, "vector": VECTOR, "dim": COUNT})
    if max_texts is None:
        return Operation("The vector of a text", one, answer)
    many = object_of({"texts": array_of(STRING, 0, max_texts), "text": NULL, "config": config}, ["texts"])
    answers = object_of({"vectors": VECTORS, "dims": COUNT})
    return Operation("The vector of a text, or those of several", either(one, many), either(answer, answers))


def config_schema(prompts: Collection[str], dim: int, strategies: Collection[str]) -> Schema:
    """What is accepted as ``config``."""
    fields = {
        "task_type": optional("", *TASKS),
        "prompt_name": prompt_schema(prompts),
        "pooling_strategy": optional("", *strategies),
        "dimensions": integer(1, dim),
    }
    return {**object_of(fields, []), "type": ["object", "null"]}


def vector_answer(text: str, vector: Any) -> bytes:
    """The JSON of the answer; ``vector`` is (dim,)."""
    answer = {"text": text, "vector": vector, "dim": len(vector)}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
