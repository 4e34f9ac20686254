"""Measures how far apart two rerankers' scores of the same documents are. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from build.compare.scores.queries import Query
from build.ranking.figures import figures_of, kendall_tau
from manifest import ScoreFigures

Scores = NDArray[np.float64]
"""One for each document of a query, (documents,)."""

FURTHEST = 5
"""This many queries are listed: those whose two rankings differ most."""


@dataclass(frozen=True)
class Range:
    """The least and the greatest score."""

    minimum: float
    maximum: float


@dataclass(frozen=True)
class Furthest:
    """A query whose two rankings differ more than most."""

    query: str
    rank_agreement: float
    """Kendall's tau."""


@dataclass(frozen=True)
class RankingFigures:
    """Everything that is measured on the scores of two containers, with the old ones as the reference."""

    queries: int
    old_scores: Range
    new_scores: Range
    scores: ScoreFigures
    furthest: tuple[Furthest, ...]


def measure(queries: Sequence[Query], old: Sequence[Scores], new: Sequence[Scores]) -> RankingFigures:
    """Compare scores query by query: one array, (documents,), for each query on both sides."""
    return RankingFigures(
        queries=len(queries),
        old_scores=_range(old),
        new_scores=_range(new),
        scores=figures_of(new, old),
        furthest=_furthest(queries, old, new),
    )


def _range(scores: Sequence[Scores]) -> Range:
    values = np.concatenate(scores)
    return Range(float(values.min()), float(values.max()))


def _furthest(queries: Sequence[Query], old: Sequence[Scores], new: Sequence[Scores]) -> tuple[Furthest, ...]:
    agreements = [kendall_tau(*pair) for pair in zip(new, old, strict=True)]
    order = np.argsort(agreements, kind="stable")[:FURTHEST]
    return tuple(Furthest(queries[index].query, agreements[index]) for index in order)
