"""Decides whether a bundle is close enough to its original to be delivered. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from build.errors import FidelityTooLow
from build.fidelity.report import MeasuredClass, MeasuredText, by_cosine
from build.fidelity.thresholds import COSINE_OPTIONS, Option, Thresholds
from manifest import Precision

SHOWN_TEXTS = 3
SHOWN_CHARACTERS = 40
SUGGESTED_DECIMALS = 4


def check(measured: MeasuredClass, thresholds: Thresholds, precision: Precision) -> None:
    """Raises ``FidelityTooLow`` that names each figure below its threshold, what to do, and the worst texts.

    The golden texts are held to the minimum: a server checks itself by them, against floors that are set from what was
    measured here, so that a wrong one must not set any.
    """
    cosine, golden = measured.cosine, measured.golden
    lowest = min([cosine.minimum, *(text.cosine for text in golden)], key=lambda value: (value == value, value))
    figures = (cosine.mean, cosine.p1, lowest)
    required = (thresholds.mean, thresholds.p1, thresholds.minimum)
    # NOTE: negated, because every comparison with NaN is false.
    failed = [row for row in zip(COSINE_OPTIONS, figures, required, strict=True) if not row[1] >= row[2]]
    if failed:
        listed = ", ".join(f"{option.figure} {figure:.6f} (required: {bound:g})" for option, figure, bound in failed)
        advice = _advice(precision, [(option, figure) for option, figure, _ in failed])
        raise FidelityTooLow(
            f"the bundle is too far from the original on CPUs of the class {measured.cpu_class.name!r}, by cosines on "
            f"{len(measured.heldout)} held-out and {len(golden)} golden texts: {listed}: {advice}; "
            f"worst texts: {_shown([*measured.heldout, *golden])}"
        )


def _advice(precision: Precision, failed: list[tuple[Option, float]]) -> str:
    """What to do. A threshold can only be lowered to a number."""
    if not all(math.isfinite(figure) for _, figure in failed):
        return "the model returns vectors that are not finite, and cannot be served"
    lower = " ".join(f"{option.flag} {_below(figure)}" for option, figure in failed)
    deliberately = f"lower the threshold deliberately with {lower}"
    if precision in (Precision.FP32, Precision.STORED):
        return f"in {precision} this is an export error, not rounding: report it, or {deliberately}"
    return f"build with --precision fp32, or {deliberately}"


def _below(figure: float) -> str:
    steps = 10**SUGGESTED_DECIMALS
    return f"{max(-1.0, math.floor(figure * steps) / steps):g}"


def _shown(texts: Sequence[MeasuredText]) -> str:
    return ", ".join(f"{text.cosine:.6f} {_short(text)}" for text in by_cosine(texts)[:SHOWN_TEXTS])


def _short(measured: MeasuredText) -> str:
    text = measured.text if len(measured.text) <= SHOWN_CHARACTERS else f"{measured.text[:SHOWN_CHARACTERS]}…"
    if measured.prompt_name is not None:
        return f"{text!r} (prompt {measured.prompt_name})"
    return f"{text!r} (task {measured.task})" if measured.task else repr(text)
