"""``/vectors`` with ``texts``: the shape that Weaviate's own modules may send one day."""

from __future__ import annotations

from runtime.api.embeddings.asked import Asked, Choice, Served
from runtime.api.embeddings.fields import Fields, read_list
from runtime.api.embeddings.layout import Layout, around
from runtime.errors import InvalidRequest


def parse_texts(fields: Fields, served: Served, dim: int) -> Asked:
    """Parse ``texts``; what ``config`` says is parsed as for one text. ``dim``: of the vectors that are asked for."""
    if fields.get("text") is not None:
        raise InvalidRequest("text and texts are both there; a request must have one of them")
    texts = read_list(fields["texts"], "texts", served, least=0)
    head, tail = around("vectors", {}, lambda tokens: {"dims": dim})
    return Asked(texts, "texts", True, Choice(), Layout(head, tail))
