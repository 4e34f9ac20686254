"""Reads the user's own queries with documents, on which two rerankers are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from build.command_line import clip
from build.compare.texts import read_lines
from build.errors import NoTexts

MIN_DOCUMENTS = 2
"""A query needs this many documents, because a single one has no rank."""

CLIPPED_QUERY = 60
"""Messages show this many characters of a query."""


@dataclass(frozen=True)
class Query:
    """A query, and the documents that are scored for it."""

    query: str
    documents: tuple[str, ...]


@dataclass(frozen=True)
class OwnQueries:
    """The queries of a file, with the documents of each."""

    queries: tuple[Query, ...]
    repeated: int
    """The number of documents that were left out, since equal documents of a query have equal scores."""


def read_queries(path: Path) -> OwnQueries:
    """Read blocks of lines with blank lines between them: a query, and a document on each further line.

    Raises ``NoTexts``.
    """
    queries, repeated = [], 0
    for query, given in _blocks(read_lines(path)):
        documents = tuple(dict.fromkeys(given))
        if len(documents) < MIN_DOCUMENTS:
            raise NoTexts(
                f"{path}: the query {clip(query, CLIPPED_QUERY)!r} must have at least {MIN_DOCUMENTS} different "
                f"documents on the lines below it, not {len(documents)}"
            )
        queries.append(Query(query, documents))
        repeated += len(given) - len(documents)
    if not queries:
        raise NoTexts(f"{path} must have at least one query, with a document on each line below it")
    return OwnQueries(tuple(queries), repeated)


def _blocks(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The first line of each block, and its others."""
    for blank, block in groupby(lines, key=lambda line: not line.strip()):
        if not blank:
            first, *others = block
            yield first, others
