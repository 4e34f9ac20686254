"""The held-out queries with documents, which no stage before verification reads."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Each query twice: with the documents that were written for it, and with one of them among those of others.

    The first are hard to tell apart; of the second, one is about the subject, as in the results of a search. Queries
    are in several languages and about code; among the documents are near-duplicates and long ones.
    """
    # Blocks of lines, with an empty line between them: a query, and a document on each further line.
    blocks = [block.splitlines() for block in HELDOUT_FILE.read_text(encoding="utf-8").strip().split("\n\n")]
    own = [HeldoutQuery(query, tuple(documents)) for query, *documents in blocks]
    return [*own, *(_among_others(own, index) for index in range(len(own)))]


def _among_others(own: Sequence[HeldoutQuery], index: int) -> HeldoutQuery:
    """The query with its first document, and one document of each of the queries that follow."""
    query = own[index]
    others = (own[(index + step) % len(own)].documents[step] for step in range(1, len(query.documents)))
    return HeldoutQuery(query.query, (query.documents[0], *others))
