"""Decides whether a bundle is near enough to its original to be delivered. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from build.errors import FidelityTooLow
from build.fidelity.report import MeasuredText, by_cosine
from build.fidelity.thresholds import OPTIONS, Option, Thresholds
from manifest import Fidelity, Precision

SHOWN_TEXTS = 3
SHOWN_CHARACTERS = 40
SUGGESTED_DECIMALS = 4


def check(
    fidelity: Fidelity,
    thresholds: Thresholds,
    precision: Precision,
    heldout: Sequence[MeasuredText],
    golden: Sequence[MeasuredText],
    arithmetic: str,
) -> None:
    """Raises ``FidelityTooLow`` that names each figure below its threshold, what to do, and the worst texts.

    ``fidelity`` sums up the ``heldout`` texts, in the ``arithmetic`` of that name. The ``golden`` ones are held to the
    minimum: a server checks itself by them, against floors that are set from what was measured here, so that a wrong
    one must not set any.
    """
    lowest = min([fidelity.cosine_min, *(one.cosine for one in golden)], key=lambda value: (value == value, value))
    figures = (fidelity.cosine_mean, fidelity.cosine_p1, lowest)
    bounds = (thresholds.mean, thresholds.p1, thresholds.minimum)
    # NOTE: turned round, because no comparison is true of a figure that is not a number.
    short = [one for one in zip(OPTIONS, figures, bounds, strict=True) if not one[1] >= one[2]]
    if short:
        told = ", ".join(f"{option.figure} {figure:.6f} (at least {bound:g})" for option, figure, bound in short)
        advice = _advice(precision, [(option, figure) for option, figure, _ in short])
        raise FidelityTooLow(
            f"the bundle is too far from the original in the arithmetic {arithmetic!r}, by cosines on {len(heldout)} "
            f"held-out and {len(golden)} golden texts: {told}: {advice}; worst texts: {_shown([*heldout, *golden])}"
        )


def _advice(precision: Precision, short: list[tuple[Option, float]]) -> str:
    """What to do. A threshold can only be lowered to a number."""
    if not all(math.isfinite(figure) for _, figure in short):
        return "the model gives vectors that are not finite, and cannot be served"
    lower = " ".join(f"{option.flag} {_below(figure)}" for option, figure in short)
    knowingly = f"lower the threshold knowingly with {lower}"
    if precision is Precision.FP32:
        return f"in fp32 that is a fault of the export, not of rounding: report it, or {knowingly}"
    return f"build with --precision fp32, or {knowingly}"


def _below(figure: float) -> str:
    steps = 10**SUGGESTED_DECIMALS
    return f"{max(-1.0, math.floor(figure * steps) / steps):g}"


def _shown(texts: Sequence[MeasuredText]) -> str:
    return ", ".join(f"{one.cosine:.6f} {_short(one)}" for one in by_cosine(texts)[:SHOWN_TEXTS])


def _short(one: MeasuredText) -> str:
    cut = one.text if len(one.text) <= SHOWN_CHARACTERS else f"{one.text[:SHOWN_CHARACTERS]}…"
    given = f"prompt {one.prompt_name}" if one.prompt_name is not None else f"task {one.task}" if one.task else ""
    return f"{cut!r}{f' ({given})' if given else ''}"
