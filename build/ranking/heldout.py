"""The held-out queries with documents, which no stage before verification reads."""

from __future__ import annotations

from dataclasses import dataclass

from build.paths import DATA

HELDOUT_FILE = DATA / "heldout_rerank.txt"


@dataclass(frozen=True)
class HeldoutQuery:
    """A query, and documents of which some answer it better than others."""

    query: str
    documents: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query with each document."""
        return [(self.query, document) for document in self.documents]


def heldout_queries() -> list[HeldoutQuery]:
    """Queries in several languages and about code; among the documents are near-duplicates and long ones.

    Blocks of lines, with an empty line between them: a query, and a document on each further line.
    """
    blocks = HELDOUT_FILE.read_text(encoding="utf-8").strip().split("\n\n")
    return [HeldoutQuery(query, tuple(documents)) for query, *documents in map(str.splitlines, blocks)]
