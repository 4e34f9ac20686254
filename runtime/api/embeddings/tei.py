"""``/`` and ``/embed``, as the clients of text-embeddings-inference and of Hugging Face's endpoints ask."""

from __future__ import annotations

from runtime.api.embeddings.asked import Asked, Choice, Served
from runtime.api.embeddings.fields import (
    Fields,
    check_normalize,
    check_only,
    read_dimensions,
    read_flag,
    read_texts,
)
from runtime.api.embeddings.layout import Layout
from runtime.api.vectors_fields import read_prompt_name


def parse_inputs(fields: Fields, served: Served) -> Asked:
    """Parse ``inputs``. Unknown keys are ignored, as ``options`` is. Raises ``InvalidRequest``."""
    texts, is_list = read_texts(fields, "inputs", served)
    check_normalize(fields, "normalize", served)
    check_only(fields, "truncation_direction", ("right", "Right"))
    choice = Choice(
        prompt_name=read_prompt_name(fields, served.prompts, ""),
        dimensions=read_dimensions(fields, "dimensions", served),
        refuses_long=read_flag(fields, "truncate") is False,
    )
    return Asked(texts, "inputs", is_list, choice, Layout(b"[", lambda tokens: b"]"))


def tei_error(sentence: str, status: int) -> dict[str, object]:
    """The shape of an error."""
    return {"error": sentence, "error_type": "Validation" if status < 500 else "Backend"}
