"""Decides whether a reranker's bundle is close enough to its original to be delivered. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from build.errors import FidelityTooLow
from build.fidelity.cpu_classes import PER_TOKEN_7_BITS, CpuClass
from manifest import Precision, ScoreFigures


@dataclass(frozen=True)
class ScoreThresholds:
    """What the scores of a bundle must reach."""

    rank_agreement: float = 0.95
    """The lowest mean of Kendall's tau over the queries."""
    top_kept: float = 0.95
    """The lowest share of queries whose best document stays the best."""
    error_rms: float = 0.03
    """The highest RMS error, as a share of the spread of the original's logits."""


EIGHT_BITS = ScoreThresholds()
SEVEN_BITS = ScoreThresholds(error_rms=0.05)
"""For CPUs whose activations have half as many levels."""


def thresholds_of(cpu_class: CpuClass) -> ScoreThresholds:
    """The thresholds of a class of CPUs."""
    return SEVEN_BITS if cpu_class == PER_TOKEN_7_BITS else EIGHT_BITS


def check_scores(figures: ScoreFigures, cpu_class: CpuClass, precision: Precision) -> None:
    """Raises ``FidelityTooLow`` that names each figure beyond its threshold, and what to do."""
    required = thresholds_of(cpu_class)
    # NOTE: negated, because every comparison with NaN is false.
    rows = (
        ("Kendall's tau", figures.rank_agreement, "at least", required.rank_agreement),
        ("best documents kept", figures.top_kept, "at least", required.top_kept),
        ("RMS error by spread", -figures.error_rms, "at most", -required.error_rms),
    )
    failed = [
        f"{name} {abs(value):.4f} (required: {bound} {abs(limit):g})"
        for name, value, bound, limit in rows
        if not value >= limit
    ]
    if failed:
        advice = (
            "in fp32 this is an export error, not rounding: report it"
            if precision is Precision.FP32
            else "build with --precision fp32"
        )
        raise FidelityTooLow(
            f"the bundle is too far from the original on CPUs of the class {cpu_class.name!r}, by logits of "
            f"{figures.count} held-out pairs: {', '.join(failed)}: {advice}"
        )
