"""``/api/embed`` and ``/api/embeddings``, as Ollama's clients ask."""

from __future__ import annotations

from runtime.api.embeddings.asked import Asked, Choice, Served
from runtime.api.embeddings.fields import (
    Fields,
    dimensions_schema,
    model_schema,
    read_dimensions,
    read_flag,
    read_model,
    read_texts,
    texts_schema,
)
from runtime.api.embeddings.layout import Layout, around
from runtime.api.json_body import name_of
from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import COUNT, FLAG, STRING, VECTOR, VECTORS, Schema, object_of
from runtime.errors import InvalidRequest


def parse_embed(fields: Fields, served: Served) -> Asked:
    """Parse ``input``, of which an empty list is answered by one. Raises ``InvalidRequest``."""
    read_model(fields, served)
    texts, is_list = read_texts(fields, "input", served, least=0)
    head, tail = around("embeddings", {"model": served.model}, lambda tokens: {"prompt_eval_count": tokens})
    return Asked(texts, "input", is_list, _choice(fields, served), Layout(head, tail))


def parse_one(fields: Fields, served: Served) -> Asked:
    """Parse ``prompt``, the one text of the older API. Raises ``InvalidRequest``."""
    read_model(fields, served)
    text = fields.get("prompt")
    if not isinstance(text, str):
        what = name_of(text) if "prompt" in fields else "absent"
        raise InvalidRequest(f"prompt must be a string, not {what}")
    return Asked([text], "prompt", False, _choice(fields, served), Layout(b'{"embedding":', lambda tokens: b"}"))


def describe_embed(served: Served) -> Operation:
    """What ``parse_embed`` accepts, and what is answered."""
    fields = {"input": texts_schema(served, least=0), **_other_fields(served)}
    answer = object_of({"model": STRING, "embeddings": VECTORS, "prompt_eval_count": COUNT})
    return Operation("Vectors of texts, in Ollama's shape", object_of(fields, ["input"]), answer)


def describe_one(served: Served) -> Operation:
    """What ``parse_one`` accepts, and what is answered."""
    fields = {"prompt": STRING, **_other_fields(served)}
    return Operation(
        "The vector of a text, in Ollama's older shape", object_of(fields, ["prompt"]), object_of({"embedding": VECTOR})
    )


def _other_fields(served: Served) -> dict[str, Schema]:
    return {"model": model_schema(served), "dimensions": dimensions_schema(served), "truncate": FLAG}


def _choice(fields: Fields, served: Served) -> Choice:
    return Choice(
        dimensions=read_dimensions(fields, "dimensions", served),
        refuses_long=read_flag(fields, "truncate") is False,
    )
