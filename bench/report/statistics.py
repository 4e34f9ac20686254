"""Computes medians, percentiles, ratios and spreads.

Without numpy, so that the load generator starts fast and stays small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """Interpolates linearly between the two closest ranks, as numpy does by default. NaN without values."""
    if not values:
        return math.nan
    ordered = sorted(values)
    rank = (len(ordered) - 1) * percent / 100
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)


def median_ratio(values: Sequence[float], reference: Sequence[float]) -> float:
    """The median over rounds of each round's ratio: a disturbance in a round affects both of its values."""
    return median([own / other for own, other in zip(values, reference, strict=True)])


def spread_percent(values: Sequence[float]) -> float:
    """The difference between the largest and the smallest value, in percent of the median."""
    return (max(values) - min(values)) / median(values) * 100 if median(values) else math.nan
