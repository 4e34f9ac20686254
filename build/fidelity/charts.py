"""Computes the charts of the fidelity page, in percent of the space that they get. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from build.fidelity.report import LengthFigures

MIN_BINS, MAX_BINS = 8, 16
"""A histogram has so few bins that their counts can be read on a phone."""

TICKS = 4
"""A histogram's axis has this many equal parts, and so many bins in each."""

MIN_WIDTH = 1e-6
"""The narrowest bin and the shortest scale: figures have six decimals."""


@dataclass(frozen=True)
class Column:
    """One bin of a histogram: where it is on the axis, how high, and how many texts it has."""

    x: float
    width: float
    height: float
    texts: int


@dataclass(frozen=True)
class Tick:
    """A labeled border between bins."""

    x: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """Columns and ticks from left to right."""

    columns: tuple[Column, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Bar:
    """How far the mean error and the largest error reach."""

    mean: float
    worst: float


def histogram(cosines: Sequence[float]) -> Histogram:
    """Count texts by cosine, in equal bins of a round width that end at 1."""
    low, width, bins = _scale(min(cosines))
    counts = [0] * bins
    for cosine in cosines:
        # NOTE: a cosine on a border belongs to the bin above it, whatever the division makes of its last bit.
        counts[max(0, min(bins - 1, math.floor((cosine - low) / width + 1e-6)))] += 1
    share, most = 100 / bins, max(counts)
    columns = (Column(index * share, share, 100 * (count / most), count) for index, count in enumerate(counts))
    decimals = max(2, -math.floor(math.log10(width) + 1e-9))
    borders = range(0, bins + 1, bins // TICKS)
    ticks = (Tick(border * share, f"{low + border * width:.{decimals}f}") for border in borders)
    return Histogram(tuple(columns), tuple(ticks))


def error_bars(lengths: Sequence[LengthFigures]) -> list[Bar]:
    """Return a bar for the errors of each length, 1 minus the cosine; the largest error of all fills the space."""
    most = max([error_of(figures.cosine_min) for figures in lengths] + [MIN_WIDTH])
    return [
        Bar(100 * (error_of(figures.cosine_mean) / most), 100 * (error_of(figures.cosine_min) / most))
        for figures in lengths
    ]


def error_of(cosine: float) -> float:
    """1 minus the cosine; rounding may have left the cosine above 1."""
    return max(0.0, 1 - cosine)


def _scale(lowest: float) -> tuple[float, float, int]:
    """Where the first bin begins, the width of a bin (1, 2 or 5 times a power of ten), and how many bins there are."""
    width = MIN_WIDTH
    factors = (2, 2.5, 2)
    step = 0
    while (1 - lowest) / width > MAX_BINS + 1e-6:
        width *= factors[step % 3]
        step += 1
    bins = max(MIN_BINS, TICKS * math.ceil((1 - lowest) / width / TICKS - 1e-6))
    return 1 - width * bins, width, bins
