"""Measures how far two containers' vectors of the same texts are from one another. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from build.compare.neighbours import neighbours, shared
from build.fidelity.cosine import cosines

Vectors = NDArray[np.float32]

EDGES = (-1.0, 0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
"""Of the histogram: finer where a search notices the difference."""

NEIGHBOURS = 10
FURTHEST = 5
UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Bin:
    """``texts`` with a cosine from ``low`` to below ``high``; the last one holds 1, too."""

    low: float
    high: float
    texts: int


@dataclass(frozen=True)
class Cosines:
    mean: float
    median: float
    p1: float
    minimum: float
    histogram: tuple[Bin, ...]


@dataclass(frozen=True)
class Lengths:
    """Euclidean lengths of vectors."""

    mean: float
    minimum: float
    maximum: float

    @property
    def unit(self) -> bool:
        return abs(self.minimum - 1) < UNIT_TOLERANCE and abs(self.maximum - 1) < UNIT_TOLERANCE


@dataclass(frozen=True)
class Overlap:
    """Shares of the ``k`` nearest neighbours among the other texts, by cosine, 0 to 1.

    ``mixed``: of those that the old vectors have in the old index, the new vectors find there as well; None where the
    vectors differ in their number of components. ``own``: the new vectors have them in an index of their own.
    """

    k: int
    mixed: float | None
    own: float


@dataclass(frozen=True)
class Furthest:
    text: str
    cosine: float


@dataclass(frozen=True)
class Figures:
    """``cosines`` are None where the vectors differ in their number of components. ``length_ratios``: the 1st and the
    99th percentile of new length over old.
    """

    texts: int
    old_dim: int
    new_dim: int
    old_lengths: Lengths
    new_lengths: Lengths
    length_ratios: tuple[float, float]
    cosines: Cosines | None
    overlap: Overlap
    furthest: tuple[Furthest, ...]


def measure(texts: tuple[str, ...], old: Vectors, new: Vectors) -> Figures:
    """Of the vectors (texts, dim) of at least two texts, which differ from one another."""
    comparable = old.shape == new.shape
    values = cosines(old, new) if comparable else None
    return Figures(
        texts=len(texts),
        old_dim=old.shape[1],
        new_dim=new.shape[1],
        old_lengths=_lengths(old),
        new_lengths=_lengths(new),
        length_ratios=_length_ratios(old, new),
        cosines=None if values is None else _distribution(values),
        overlap=_overlap(old, new, comparable),
        furthest=() if values is None else _furthest(texts, values),
    )


def neighbours_of(texts: int) -> int:
    """How many neighbours to look at: ten, or half of the other texts where that is less, so that there is a choice."""
    return max(1, min(NEIGHBOURS, (texts - 1) // 2))


def _overlap(old: Vectors, new: Vectors, comparable: bool) -> Overlap:
    k = neighbours_of(len(old))
    expected = neighbours(old, old, k)
    return Overlap(
        k=k,
        mixed=shared(expected, neighbours(new, old, k)) if comparable else None,
        own=shared(expected, neighbours(new, new, k)),
    )


def _distribution(values: NDArray[np.float64]) -> Cosines:
    counts, _ = np.histogram(np.clip(values, -1, 1), EDGES)
    return Cosines(
        mean=float(values.mean()),
        median=float(np.median(values)),
        p1=float(np.percentile(values, 1)),
        minimum=float(values.min()),
        histogram=tuple(Bin(low, high, int(n)) for (low, high), n in zip(pairwise(EDGES), counts, strict=True)),
    )


def _lengths(vectors: Vectors) -> Lengths:
    values = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return Lengths(mean=float(values.mean()), minimum=float(values.min()), maximum=float(values.max()))


def _length_ratios(old: Vectors, new: Vectors) -> tuple[float, float]:
    """Zero vectors have no ratio."""
    before, after = (np.linalg.norm(vectors.astype(np.float64), axis=1) for vectors in (old, new))
    there = (before > 0) & (after > 0)
    low, high = np.percentile(after[there] / before[there], [1, 99]) if there.any() else (1.0, 1.0)
    return float(low), float(high)


def _furthest(texts: tuple[str, ...], values: NDArray[np.float64]) -> tuple[Furthest, ...]:
    order = np.argsort(values, kind="stable")[:FURTHEST]
    return tuple(Furthest(texts[place], float(values[place])) for place in order)
