"""``/api/embed`` and ``/api/embeddings``, as Ollama's clients ask."""

from __future__ import annotations

from runtime.api.embeddings.asked import Asked, Choice, Served
from runtime.api.embeddings.fields import Fields, read_dimensions, read_flag, read_model, read_texts
from runtime.api.embeddings.layout import Layout, around
from runtime.api.json_body import name_of
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


def _choice(fields: Fields, served: Served) -> Choice:
    return Choice(
        dimensions=read_dimensions(fields, "dimensions", served),
        refuses_long=read_flag(fields, "truncate") is False,
    )
