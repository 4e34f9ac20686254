"""``/v1/embeddings`` and ``/embeddings``, as the clients of OpenAI, Voyage and Jina ask."""

from __future__ import annotations

from runtime.api.embeddings.asked import Asked, Choice, Served
from runtime.api.embeddings.fields import (
    Fields,
    check_normalize,
    check_only,
    dimensions_schema,
    model_schema,
    normalize_schema,
    read_dimensions,
    read_first_task,
    read_flag,
    read_model,
    read_texts,
    texts_schema,
)
from runtime.api.embeddings.layout import Layout, around, rows_as_base64, rows_as_objects
from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import (
    COUNT,
    FLAG,
    OPTIONAL_STRING,
    STRING,
    VECTOR,
    array_of,
    either,
    object_of,
    optional,
)
from runtime.api.vectors_fields import prompt_schema, read_prompt_name

FORMATS = ("float", "base64")

TASK_NAMES = ("input_type", "task", "task_type")
"""Voyage's and OpenAI-like servers' name, Jina's, and Weaviate's own. The first that is there decides."""


def parse_openai(fields: Fields, served: Served) -> Asked:
    """Parse ``input``, and what the three have beside it. Unknown keys are ignored. Raises ``InvalidRequest``."""
    read_model(fields, served)
    texts, is_list = read_texts(fields, "input", served)
    task, prompt_name = read_first_task(fields, TASK_NAMES, served)
    check_normalize(fields, "normalized", served)
    check_only(fields, "output_dtype", ("float",))
    formats = {check_only(fields, name, FORMATS) for name in ("encoding_format", "embedding_type")}
    dimensions = [read_dimensions(fields, name, served) for name in ("dimensions", "output_dimension")]
    choice = Choice(
        task=task,
        prompt_name=read_prompt_name(fields, served.prompts, "") or prompt_name,
        dimensions=next((each for each in dimensions if each is not None), None),
        refuses_long=read_flag(fields, "truncation") is False,
    )
    head, tail = around("data", {"object": "list"}, lambda tokens: _after(served.model, tokens))
    layout = Layout(head, tail, rows_as_base64 if "base64" in formats else rows_as_objects)
    return Asked(texts, "input", is_list, choice, layout)


def describe_openai(served: Served) -> Operation:
    """What ``parse_openai`` accepts, and what is answered."""
    fields = {
        "input": texts_schema(served),
        "model": model_schema(served),
        **dict.fromkeys(TASK_NAMES, OPTIONAL_STRING),
        "prompt_name": prompt_schema(served.prompts),
        "dimensions": dimensions_schema(served),
        "output_dimension": dimensions_schema(served),
        "encoding_format": optional(*FORMATS),
        "embedding_type": optional(*FORMATS),
        "output_dtype": optional("float"),
        "truncation": FLAG,
        "normalized": normalize_schema(served),
    }
    row = object_of({"object": STRING, "index": COUNT, "embedding": either(VECTOR, STRING)})
    usage = object_of({"prompt_tokens": COUNT, "total_tokens": COUNT})
    answer = {"object": STRING, "data": array_of(row), "model": STRING, "usage": usage}
    return Operation("Vectors of texts, in OpenAI's shape", object_of(fields, ["input"]), object_of(answer))


def _after(model: str, tokens: int) -> dict[str, object]:
    return {"model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def openai_error(sentence: str, status: int) -> dict[str, object]:
    """OpenAI's shape of an error, with what the clients of Voyage and Jina read beside it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": sentence, "type": kind, "param": None, "code": None}
    return {"error": error, "detail": sentence}
