"""Decides whether two containers' vectors can share one index, and says why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from build.compare.figures import Cosines, Figures

MIN_COSINE_P1 = 0.99
"""At least 99 of 100 texts must have two vectors within 8 degrees of each other. The overlap alone would hide a few
texts that are no longer found while all others are.
"""

MIN_MIXED_OVERLAP = 0.95
"""An approximate index itself misses up to one neighbor in twenty; a swap should cost no more. On sentences, cosines
from 0.99 to 0.995 come with this overlap.
"""

MAX_LENGTH_RATIO = 1.05
"""Lengths that differ by more than this change the distances that depend on them."""

FEW_TEXTS = 20
"""With fewer texts than this, a single text changes the figures."""


class Verdict(StrEnum):
    DROP_IN = "drop in"
    """Old and new vectors can share an index, or old and new scores rank documents alike."""
    REIMPORT = "re-import needed"
    """They cannot."""
    OTHER_RANKINGS = "rankings differ"
    """Of two rerankers: they put documents into another order."""


@dataclass(frozen=True)
class Judgment:
    """A verdict, the reasons that led to it, and notes that a user should read along with it."""

    verdict: Verdict
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def judge(figures: Figures) -> Judgment:
    """The verdict for an index with cosine distance, from the figures alone."""
    faults, merits = directions(figures)
    if faults:
        return Judgment(Verdict.REIMPORT, faults, _notes(figures))
    return Judgment(Verdict.DROP_IN, (", and ".join(merits),), _notes(figures))


def directions(figures: Figures) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why old and new vectors cannot share an index with cosine distance, and what speaks for it."""
    cosines, mixed = figures.cosines, figures.overlap.mixed
    if cosines is None or mixed is None:
        sizes = f"old vectors have {figures.old_dim} components and new ones {figures.new_dim}"
        return (f"{sizes}: no index accepts both",), ()
    rows = ((cosines.p1 >= MIN_COSINE_P1, _p1(cosines)), (mixed >= MIN_MIXED_OVERLAP, _overlap(mixed)))
    return tuple(text for is_met, text in rows if not is_met), tuple(text for is_met, text in rows if is_met)


def _p1(cosines: Cosines) -> str:
    return f"the 1st percentile of the cosines is {cosines.p1:.4f} (required: {MIN_COSINE_P1})"


def _overlap(mixed: float) -> str:
    return f"new vectors find {mixed:.1%} of the neighbors in the old index (required: {MIN_MIXED_OVERLAP:.0%})"


def _notes(figures: Figures) -> tuple[str, ...]:
    notes = []
    low, high = figures.length_ratios
    if figures.cosines is not None and (high > MAX_LENGTH_RATIO or low < 1 / MAX_LENGTH_RATIO):
        notes.append(
            f"{_length_difference(figures)}: the verdict holds for the distance cosine; dot and l2-squared need a "
            "re-import"
        )
    return (*notes, *few_note(figures))


def few_note(figures: Figures, items: str = "texts") -> tuple[str, ...]:
    """A warning where there are too few ``items`` to trust the figures."""
    if figures.texts >= FEW_TEXTS:
        return ()
    return (f"the verdict is based on only {figures.texts} {items}; use a few hundred of your own",)


def _length_difference(figures: Figures) -> str:
    old, new = figures.old_lengths, figures.new_lengths
    if old.unit or new.unit:
        return f"{'the old' if old.unit else 'the new'} vectors have unit length and the others do not"
    return f"the vectors' lengths differ (mean {old.mean:.3g} and {new.mean:.3g})"
