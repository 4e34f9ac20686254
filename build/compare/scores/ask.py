"""Asks a container for the scores of a query's documents, as Weaviate does."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from build.command_line import clip
from build.compare.client import RERANK
from build.compare.scores.figures import Scores
from build.compare.scores.queries import CLIPPED_QUERY, Query
from build.errors import NoScores
from build.fidelity.client import VectorsClient

CHUNK = 32
"""Weaviate's client sends this many documents in a request."""


def ask(client: VectorsClient, query: Query, *, raw: bool = False) -> Scores:
    """A score for each document of a query, (documents,). ``raw``: logits, for which only this project can be asked.

    Raises ``ContainerUnreachable``, ``ContainerRefused`` or ``NoScores``.
    """
    starts = range(0, len(query.documents), CHUNK)
    chunks = (query.documents[start : start + CHUNK] for start in starts)
    return np.concatenate([_ask(client, query.query, chunk, raw) for chunk in chunks])


def _ask(client: VectorsClient, query: str, documents: tuple[str, ...], raw: bool) -> Scores:
    body: dict[str, Any] = {"query": query, "documents": list(documents), "property": ""}
    subject = repr(clip(query, CLIPPED_QUERY))
    answer = client.post(RERANK, body | {"raw_scores": True} if raw else body, subject)
    scores = _scores_of(answer, documents)
    if scores is None:
        raise NoScores(
            f"{client.name} answered {subject} without one finite score for each of {len(documents)} documents, in "
            f"their order: {clip(answer[:2000].decode(errors='replace'), CLIPPED_QUERY) or 'an empty answer'}"
        )
    return scores


def _scores_of(answer: bytes, documents: tuple[str, ...]) -> Scores | None:
    """The scores in an answer; None where it does not have one for each document, in order."""
    try:
        entries: Any = json.loads(answer)["scores"]
        values = [entry["score"] for entry in entries]
        in_order = [entry.get("document", document) for entry, document in zip(entries, documents, strict=True)]
        if any(type(value) not in (int, float) for value in values) or tuple(in_order) != documents:
            return None
        scores = np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None
    return scores if np.isfinite(scores).all() else None
