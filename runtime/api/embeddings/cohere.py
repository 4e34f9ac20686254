"""``/v1/embed`` and ``/v2/embed``, as Cohere's clients ask."""

from __future__ import annotations

import uuid
from typing import Any

from runtime.api.embeddings.asked import Asked, Choice, Served
from runtime.api.embeddings.fields import (
    Fields,
    check_only,
    read_dimensions,
    read_list,
    read_model,
    read_task,
)
from runtime.api.embeddings.layout import Layout, around
from runtime.api.json_body import show
from runtime.errors import InvalidRequest


def parse_v1(fields: Fields, served: Served) -> Asked:
    """Parse the older API, which answers a list of vectors unless types are asked for. Raises ``InvalidRequest``."""
    by_type = fields.get("embedding_types") is not None
    return _parse(fields, served, "1", by_type)


def parse_v2(fields: Fields, served: Served) -> Asked:
    """Parse the API of today, which answers vectors by type. Raises ``InvalidRequest``."""
    return _parse(fields, served, "2", by_type=True)


def _parse(fields: Fields, served: Served, version: str, by_type: bool) -> Asked:
    read_model(fields, served)
    for name in ("images", "inputs"):
        if fields.get(name):
            raise InvalidRequest(f"{name} must be absent; this server embeds texts, a list of strings")
    if "texts" not in fields:
        raise InvalidRequest("texts is missing; it must be a list of strings")
    texts = read_list(fields["texts"], "texts", served)
    _check_types(fields.get("embedding_types"))
    task, prompt_name = read_task(fields, "input_type", served)
    truncate = check_only(fields, "truncate", ("END", "NONE"))
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


def _check_types(value: Any) -> None:
    if value is not None and value != ["float"]:
        raise InvalidRequest(f'embedding_types must be ["float"], the only type of this server, not {show(value)}')


def cohere_error(sentence: str, status: int) -> dict[str, object]:
    """The shape of an error."""
    return {"message": sentence}
