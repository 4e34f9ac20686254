"""Measures how far scores and rankings are from the original's. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from manifest import ScoreFigures

DECIMALS = 6
"""Reports round figures to this many decimals."""

Logits = NDArray[np.float64]


def figures_of(served: Sequence[Logits], original: Sequence[Logits]) -> ScoreFigures:
    """Compare logits query by query: one array, (documents,), for each query on both sides.

    Everything is relative to the spread of the original's logits, so that a bundle that makes all scores alike is far
    off, whatever their size.
    """
    ours, theirs = np.concatenate(served), np.concatenate(original)
    errors = np.abs(ours - theirs)
    agreements = [kendall_tau(*pair) for pair in zip(served, original, strict=True)]
    kept = [keeps_best(*pair) for pair in zip(served, original, strict=True)]
    return ScoreFigures(
        count=len(ours),
        error_mean=_rounded(errors.mean()),
        error_max=_rounded(errors.max()),
        error_rms=_rounded(_relative(np.sqrt(np.square(errors).mean()), spread_of(theirs))),
        rank_agreement=_rounded(np.mean(agreements)),
        top_kept=_rounded(np.mean(kept)),
    )


def spread_of(logits: Logits) -> float:
    """The standard deviation of all logits."""
    return float(logits.std())


def kendall_tau(ours: Logits, theirs: Logits) -> float:
    """Kendall's tau-a of two rankings of the same documents, from -1 to 1.

    A pair of documents that the original scores alike agrees with any order. 1 where there is no pair; NaN where a
    score is not a number.
    """
    first, second = np.triu_indices(len(theirs), k=1)
    if not len(first):
        return 1.0
    wanted = np.sign(theirs[first] - theirs[second])
    found = np.sign(ours[first] - ours[second])
    return float(np.where(wanted == 0, 1.0, wanted * found).mean() if np.isfinite(ours).all() else np.nan)


def keeps_best(ours: Logits, theirs: Logits) -> bool:
    """Whether the document that is first now is one that the original puts first."""
    return bool(np.isfinite(ours).all() and theirs[int(np.argmax(ours))] == theirs.max())


def _relative(error: np.floating, spread: float) -> float:
    if spread > 0:
        return float(error / spread)
    return 0.0 if error == 0 else float("inf")


def _rounded(value: np.floating | float) -> float:
    return round(float(value), DECIMALS)
