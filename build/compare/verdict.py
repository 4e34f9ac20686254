"""Decides whether two containers' vectors may live in one index, and says why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from build.compare.figures import Figures

MIN_COSINE_P1 = 0.99
"""The two vectors of all texts but one in a hundred lie within 8 degrees. The overlap alone would hide a few texts that
are not found any more while all others are.
"""

MIN_MIXED_OVERLAP = 0.95
"""An index that searches approximately misses up to one neighbour in twenty by itself; a swap should cost no more.
On sentences, cosines of 0.99 to 0.995 come with this overlap.
"""

MAX_LENGTH_RATIO = 1.05
"""Lengths that differ by more change distances that depend on them."""

FEW_TEXTS = 20
"""Below, one text more or less changes the figures."""


class Verdict(StrEnum):
    DROP_IN = "drop in"
    REIMPORT = "re-import needed"


@dataclass(frozen=True)
class Judgement:
    """``reasons`` led to the verdict; ``notes`` should be known beside it."""

    verdict: Verdict
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def judge(figures: Figures) -> Judgement:
    """The verdict for an index with the distance cosine, from the figures alone."""
    faults = _faults(figures)
    cosines, mixed = figures.cosines, figures.overlap.mixed
    if not faults and cosines is not None and mixed is not None:
        reason = (
            f"the 1st percentile of the cosines is {cosines.p1:.4f} (at least {MIN_COSINE_P1}), and new vectors find "
            f"{mixed:.1%} of the neighbours in the old index (at least {MIN_MIXED_OVERLAP:.0%})"
        )
        return Judgement(Verdict.DROP_IN, (reason,), _notes(figures))
    return Judgement(Verdict.REIMPORT, tuple(faults), _notes(figures))


def _faults(figures: Figures) -> list[str]:
    cosines, mixed = figures.cosines, figures.overlap.mixed
    if cosines is None or mixed is None:
        return [f"old vectors have {figures.old_dim} components and new ones {figures.new_dim}: no index takes both"]
    faults = []
    if cosines.p1 < MIN_COSINE_P1:
        faults.append(f"the 1st percentile of the cosines is {cosines.p1:.4f}, and must be at least {MIN_COSINE_P1}")
    if mixed < MIN_MIXED_OVERLAP:
        faults.append(
            f"new vectors find {mixed:.1%} of the neighbours in the old index, and must find at least "
            f"{MIN_MIXED_OVERLAP:.0%}"
        )
    return faults


def _notes(figures: Figures) -> tuple[str, ...]:
    notes = []
    low, high = figures.length_ratios
    if figures.cosines is not None and (high > MAX_LENGTH_RATIO or low < 1 / MAX_LENGTH_RATIO):
        notes.append(
            f"{_normalized(figures)}: this changes nothing where the index's distance is cosine, and all where it is "
            "dot or l2-squared, which need a re-import"
        )
    if figures.texts < FEW_TEXTS:
        notes.append(f"the verdict stands on {figures.texts} texts only; some hundreds of your own say more")
    return tuple(notes)


def _normalized(figures: Figures) -> str:
    old, new = figures.old_lengths, figures.new_lengths
    if old.unit or new.unit:
        return f"{'the old' if old.unit else 'the new'} vectors have unit length and the others have not"
    return f"the vectors' lengths differ ({old.mean:.3g} and {new.mean:.3g} in the mean)"
