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
        error_mean=rounded(errors.mean()),
        error_max=rounded(errors.max()),
        error_rms=relative_rms(ours, theirs, spread_of(theirs)),
        rank_agreement=rounded(np.mean(agreements)),
        top_kept=rounded(np.mean(kept)),
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
    return float(np.where(wanted == 0, 1.0, wanted * found).mean()) if np.isfinite(ours).all() else float("nan")


def keeps_best(ours: Logits, theirs: Logits) -> bool:
    """Whether the document that is first now is one that the original puts first."""
    return bool(np.isfinite(ours).all() and theirs[int(np.argmax(ours))] == theirs.max())


def relative_rms(ours: Logits, theirs: Logits, spread: float) -> float:
    """The root mean square of the differences, as a share of ``spread``; infinite where that is 0 and they differ."""
    error = float(np.sqrt(np.square(ours - theirs).mean()))
    if spread > 0:
        return rounded(error / spread)
    return 0.0 if error == 0 else float("inf")


def rounded(value: np.floating | float) -> float:
    """As reports round."""
    return round(float(value), DECIMALS)
