"""The request for scores: a query and documents with everything decided. Nothing after this point checks it again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RerankRequest:
    """A query, and the documents that are scored for it."""

    query: str
    documents: tuple[str, ...]
    field: str = "documents"
    """What messages call the list of documents."""
    truncate: bool = True
    """Whether a pair with too many tokens is truncated. If not, the request is refused."""
