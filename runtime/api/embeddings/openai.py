"""``/v1/embeddings`` and ``/embeddings``, as the clients of OpenAI, Voyage and Jina ask."""

from __future__ import annotations

from runtime.api.embeddings.asked import Asked, Choice, Served
from runtime.api.embeddings.fields import (
    Fields,
    check_normalize,
    check_only,
    read_dimensions,
    read_flag,
    read_model,
    read_task,
    read_texts,
)
from runtime.api.embeddings.layout import Layout, around, rows_as_base64, rows_as_objects
from runtime.api.vectors_fields import read_prompt_name

WHAT = "an object with input"


def parse_openai(fields: Fields, served: Served) -> Asked:
    """Parse ``input``, and what the three have beside it. Unknown keys are ignored. Raises ``InvalidRequest``."""
    read_model(fields, served)
    texts, is_list = read_texts(fields, "input", served)
    task, prompt_name = read_task(fields, "input_type", served)
    if task is None and prompt_name is None:
        task, prompt_name = read_task(fields, "task", served)
    check_normalize(fields, "normalized", served)
    check_only(fields, "output_dtype", ("float",))
    formats = {check_only(fields, name, ("float", "base64")) for name in ("encoding_format", "embedding_type")}
    name = "dimensions" if fields.get("dimensions") is not None else "output_dimension"
    choice = Choice(
        task=task,
        prompt_name=read_prompt_name(fields, served.prompts, "") or prompt_name,
        dimensions=read_dimensions(fields, name, served),
        refuses_long=read_flag(fields, "truncation") is False,
    )
    head, tail = around("data", {"object": "list"}, lambda tokens: _after(served.model, tokens))
    layout = Layout(head, tail, rows_as_base64 if "base64" in formats else rows_as_objects)
    return Asked(texts, "input", is_list, choice, layout)


def _after(model: str, tokens: int) -> dict[str, object]:
    return {"model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def openai_error(sentence: str, status: int) -> dict[str, object]:
    """OpenAI's shape of an error, with what the clients of Voyage and Jina read beside it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": sentence, "type": kind, "param": None, "code": None}
    return {"error": error, "detail": sentence}
