"""``/v1/embed`` and ``/v2/embed``, as Cohere's clients ask."""

from __future__ import annotations

import uuid
from typing import Any

from runtime.api.embeddings.asked import Asked, Choice, Served
from runtime.api.embeddings.fields import (
    Fields,
    check_only,
    dimensions_schema,
    list_schema,
    model_schema,
    read_dimensions,
    read_list,
    read_model,
    read_task,
)
from runtime.api.embeddings.layout import Layout, around
from runtime.api.json_body import show
from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import (
    ANYTHING,
    OPTIONAL_STRING,
    STRING,
    VECTORS,
    Schema,
    array_of,
    either,
    object_of,
    one_of,
    optional,
)
from runtime.errors import InvalidRequest

UNREAD = ("images", "inputs")
"""Other things to embed, which this server cannot."""

TRUNCATE = ("END", "NONE")

BY_TYPE = object_of({"float": VECTORS})


def parse_v1(fields: Fields, served: Served) -> Asked:
    """Parse the older API, which answers a list of vectors unless types are asked for. Raises ``InvalidRequest``."""
    by_type = fields.get("embedding_types") is not None
    return _parse(fields, served, "1", by_type)


def parse_v2(fields: Fields, served: Served) -> Asked:
    """Parse the API of today, which answers vectors by type. Raises ``InvalidRequest``."""
    return _parse(fields, served, "2", by_type=True)


def _parse(fields: Fields, served: Served, version: str, by_type: bool) -> Asked:
    read_model(fields, served)
    for name in UNREAD:
        if fields.get(name) not in (None, []):
            raise InvalidRequest(f"{name} must be absent; this server embeds texts, a list of strings")
    if "texts" not in fields:
        raise InvalidRequest("texts is missing; it must be a list of strings")
    texts = read_list(fields["texts"], "texts", served)
    _check_types(fields.get("embedding_types"))
    task, prompt_name = read_task(fields, "input_type", served)
    truncate = check_only(fields, "truncate", TRUNCATE)
    choice = Choice(task, prompt_name, read_dimensions(fields, "output_dimension", served), truncate == "NONE")

    def after(tokens: int) -> dict[str, Any]:
        meta = {"api_version": {"version": version}, "billed_units": {"input_tokens": tokens}}
        return {"texts": texts, "meta": meta}

    kind = "embeddings_by_type" if by_type else "embeddings_floats"
    before = {"id": str(uuid.uuid4()), "response_type": kind}
    head, tail = around("embeddings", before, after)
    if by_type:
        return Asked(texts, "texts", True, choice, Layout(head[:-1] + b'{"float":[', lambda n: b"]}" + tail(n)[1:]))
    return Asked(texts, "texts", True, choice, Layout(head, tail))


def describe_v1(served: Served) -> Operation:
    """What ``parse_v1`` accepts, and what is answered."""
    return _describe(served, either(VECTORS, BY_TYPE))


def describe_v2(served: Served) -> Operation:
    """What ``parse_v2`` accepts, and what is answered."""
    return _describe(served, BY_TYPE)


def _describe(served: Served, vectors: Schema) -> Operation:
    fields = {
        "texts": list_schema(served),
        **dict.fromkeys(UNREAD, one_of([None, []])),
        "model": model_schema(served),
        "input_type": OPTIONAL_STRING,
        "embedding_types": one_of([None, ["float"]]),
        "truncate": optional(*TRUNCATE),
        "output_dimension": dimensions_schema(served),
    }
    answer = {
        "id": STRING,
        "response_type": STRING,
        "embeddings": vectors,
        "texts": array_of(STRING),
        "meta": object_of({"api_version": ANYTHING, "billed_units": ANYTHING}),
    }
    return Operation("Vectors of texts, in Cohere's shape", object_of(fields, ["texts"]), object_of(answer))


def _check_types(value: Any) -> None:
    if value is not None and value != ["float"]:
        raise InvalidRequest(f'embedding_types must be ["float"], the only type of this server, not {show(value)}')


def cohere_error(sentence: str, status: int) -> dict[str, object]:
    """The shape of an error."""
    return {"message": sentence}
