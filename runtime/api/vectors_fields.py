"""The fields of ``POST /vectors`` that all kinds of model share: each is read, checked, and named in errors."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from manifest import Task
from runtime.api.json_body import name_of, parse_object, show
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


def read_dimensions(config: dict[str, Any], dim: int) -> int | None:
    """How many components to keep, of ``dim``; None: all."""
    value = config.get("dimensions")
    if value is None:
        return None
    if type(value) is int and 1 <= value <= dim:
        return value
    raise InvalidRequest(
        f"config.dimensions must be a whole number from 1 to {dim}, the model's dim, not {show(value)}"
    )


def vector_answer(text: str, vector: Any) -> bytes:
    """The JSON of the answer; ``vector`` is (dim,)."""
    answer = {"text": text, "vector": vector, "dim": len(vector)}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
