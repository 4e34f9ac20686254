"""Measures how far apart two containers' vectors of the same texts are. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from build.compare.neighbors import neighbors, shared
from build.fidelity.cosine import cosines

Vectors = NDArray[np.float32]

BIN_EDGES = (-1.0, 0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
"""The histogram of cosines has these bins, finer where a search notices the difference."""

NEIGHBORS = 10
"""Overlaps are measured on this many nearest neighbors, if there are enough texts."""

FURTHEST = 5
"""This many texts are listed: those whose two vectors differ most."""

UNIT_TOLERANCE = 1e-3
"""Lengths this close to 1 count as unit length."""


@dataclass(frozen=True)
class Bin:
    """The number of ``texts`` with a cosine from ``low`` to below ``high``. The last bin includes 1."""

    low: float
    high: float
    texts: int


@dataclass(frozen=True)
class Cosines:
    """How the cosines between old and new vectors are distributed."""

    mean: float
    median: float
    p1: float
    """The 1st percentile."""
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
    """Shares, from 0 to 1, of the neighbors that the old vectors find in the old index."""

    k: int
    """The number of nearest neighbors of each text, by cosine."""
    mixed: float | None
    """The share that the new vectors find in the old index; None where the sizes of the vectors differ."""
    own: float
    """The share that the new vectors find in an index of their own."""


@dataclass(frozen=True)
class Furthest:
    """A text whose two vectors differ more than most."""

    text: str
    cosine: float


@dataclass(frozen=True)
class Figures:
    """Everything that is measured on two sets of vectors: of texts, or of images in their place."""

    texts: int
    old_dim: int
    new_dim: int
    old_lengths: Lengths
    new_lengths: Lengths
    length_ratios: tuple[float, float]
    """The 1st and the 99th percentile of new length over old."""
    cosines: Cosines | None
    """None where the sizes of the vectors differ."""
    overlap: Overlap
    furthest: tuple[Furthest, ...]


def measure(texts: tuple[str, ...], old: Vectors, new: Vectors) -> Figures:
    """Compare the vectors, (texts, dim), of at least two texts, no two of them equal."""
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


def neighbors_of(texts: int) -> int:
    """The number of neighbors to compare: ten, or half of the other texts if that is less, to leave a choice."""
    return max(1, min(NEIGHBORS, (texts - 1) // 2))


def _overlap(old: Vectors, new: Vectors, comparable: bool) -> Overlap:
    k = neighbors_of(len(old))
    expected = neighbors(old, old, k)
    return Overlap(
        k=k,
        mixed=shared(expected, neighbors(new, old, k)) if comparable else None,
        own=shared(expected, neighbors(new, new, k)),
    )


def _distribution(values: NDArray[np.float64]) -> Cosines:
    counts, _ = np.histogram(np.clip(values, -1, 1), BIN_EDGES)
    return Cosines(
        mean=float(values.mean()),
        median=float(np.median(values)),
        p1=float(np.percentile(values, 1)),
        minimum=float(values.min()),
        histogram=tuple(Bin(low, high, int(n)) for (low, high), n in zip(pairwise(BIN_EDGES), counts, strict=True)),
    )


def _lengths(vectors: Vectors) -> Lengths:
    values = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return Lengths(mean=float(values.mean()), minimum=float(values.min()), maximum=float(values.max()))


def _length_ratios(old: Vectors, new: Vectors) -> tuple[float, float]:
    """Percentiles of new length over old, without zero vectors, which have no ratio."""
    before, after = (np.linalg.norm(vectors.astype(np.float64), axis=1) for vectors in (old, new))
    nonzero = (before > 0) & (after > 0)
    low, high = np.percentile(after[nonzero] / before[nonzero], [1, 99]) if nonzero.any() else (1.0, 1.0)
    return float(low), float(high)


def _furthest(texts: tuple[str, ...], values: NDArray[np.float64]) -> tuple[Furthest, ...]:
    order = np.argsort(values, kind="stable")[:FURTHEST]
    return tuple(Furthest(texts[index], float(values[index])) for index in order)
