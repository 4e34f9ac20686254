"""Estimates growth: the median of slopes (Theil–Sen) within groups of points, with its uncertainty. Pure functions.

A pair of points counts only within its group, so that levels that differ from server to server do not matter. The
interval is Sen's, from the variance of Kendall's S; of several groups the variances are added, as in the seasonal
estimator of Hirsch, Slack and Smith (1982).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.statistics import median

Z = 1.959964
"""The two-sided quantile of the normal distribution for 95 %."""

HOUR = 3600.0

Points = Sequence[tuple[float, float]]
"""Seconds, and what was measured then."""


@dataclass(frozen=True)
class Slope:
    """By hour."""

    per_hour: float
    low: float
    high: float
    """With ``low``, the interval of 95 %."""


def slope_within(groups: Sequence[Points]) -> Slope | None:
    """The slope that all groups have in common; None where the points are too few for an interval."""
    slopes = sorted(
        (later[1] - earlier[1]) / (later[0] - earlier[0]) * HOUR
        for group in groups
        for earlier, later in itertools.combinations(sorted(group), 2)
        if later[0] > earlier[0]
    )
    variance = sum(n * (n - 1) * (2 * n + 5) / 18 for n in map(len, groups))
    outside = math.floor((len(slopes) - Z * math.sqrt(variance)) / 2)
    if not slopes or outside < 0:
        return None
    return Slope(median(slopes), slopes[outside], slopes[-1 - outside])


def thin(points: Points, width: float) -> list[tuple[float, float]]:
    """The median of both coordinates for each ``width`` of time, in order.

    Points that follow each other closely resemble each other, and would make the interval too narrow.
    """
    bins: dict[int, list[tuple[float, float]]] = {}
    for point in points:
        bins.setdefault(math.floor(point[0] / width), []).append(point)
    return [
        (median([at for at, _ in group]), median([value for _, value in group])) for _, group in sorted(bins.items())
    ]
