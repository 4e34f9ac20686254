"""Decides whether a reranker's bundle is close enough to its original to be delivered. Pure functions."""

from __future__ import annotations

import math

from build.errors import FidelityTooLow
from build.fidelity.report import ClassScores
from build.fidelity.thresholds import SCORE_OPTIONS, Option, ScoreThresholds
from build.precisions import PrecisionSpec
from manifest import Precision

INT8 = ScoreThresholds(rank_agreement=0.95, top_kept=0.95, error_rms=0.03)
FP32 = ScoreThresholds(rank_agreement=0.99, top_kept=0.99, error_rms=0.001)

SUGGESTED_DECIMALS = 4


def default_thresholds(spec: PrecisionSpec) -> ScoreThresholds:
    """The thresholds of a precision."""
    return INT8 if spec.quantize else FP32


def check_scores(measured: ClassScores, precision: Precision) -> None:
    """Raises ``FidelityTooLow`` that names each figure beyond its threshold, and what to do."""
    rows = [
        (option, getattr(measured.figures, option.field), getattr(measured.thresholds, option.field))
        for option in SCORE_OPTIONS
    ]
    failed = [(option, figure, limit) for option, figure, limit in rows if not option.passes(figure, limit)]
    if failed:
        listed = ", ".join(f"{option.figure} {figure:.4f} (required: {limit:g})" for option, figure, limit in failed)
        raise FidelityTooLow(
            f"the bundle is too far from the original on CPUs of the class {measured.cpu_class.name!r}, by logits of "
            f"{measured.figures.count} held-out pairs: {listed}: "
            f"{_advice(precision, [(option, figure) for option, figure, _ in failed])}"
        )


def _advice(precision: Precision, failed: list[tuple[Option, float]]) -> str:
    """What to do. A threshold can only be changed to a number."""
    if not all(math.isfinite(figure) for _, figure in failed):
        return "the model returns scores that are not finite or all alike, and cannot be judged"
    options = " ".join(f"{option.flag} {_beyond(option, figure)}" for option, figure in failed)
    deliberately = f"change the threshold deliberately with {options}"
    if precision is Precision.FP32:
        return f"in fp32 this is an export error, not rounding: report it, or {deliberately}"
    return f"build with --precision fp32, or {deliberately}"


def _beyond(option: Option, figure: float) -> str:
    """The next round number that lets the figure pass."""
    steps = 10**SUGGESTED_DECIMALS
    rounded = math.ceil(figure * steps) if option.is_highest else math.floor(figure * steps)
    return f"{rounded / steps:.{SUGGESTED_DECIMALS}f}"
