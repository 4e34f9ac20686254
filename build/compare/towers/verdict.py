"""Decides whether one container of texts and images can take another's place, and says why. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from build.compare.figures import Figures
from build.compare.verdict import MAX_LENGTH_RATIO, Judgment, Verdict, directions, few_note

Towers = Mapping[str, Figures]
"""What was measured of each tower, by its name: ``texts`` and ``images``."""

NOT_COMBINED = (
    "only lengths differ: a collection with the distance cosine, each of whose objects has one text or one image, can "
    "keep its index"
)


def judge(towers: Towers) -> Judgment:
    """The verdict for an index of objects whose vectors of texts and images are combined by their lengths.

    An object's vector is the weighted sum of its texts' and images' vectors, which nobody normalizes before: lengths
    decide how much each of them counts, whatever the distance of the index.
    """
    pointing = [f"{name}: {fault}" for name, figures in towers.items() for fault in directions(figures)[0]]
    lengths = [_length_fault(name, figures) for name, figures in towers.items() if not lengths_agree(figures)]
    few = tuple(note for name, figures in towers.items() for note in few_note(figures, name))
    if pointing:
        return Judgment(Verdict.REIMPORT, (*pointing, *lengths), few)
    if lengths:
        return Judgment(Verdict.REIMPORT, tuple(lengths), (NOT_COMBINED, *few))
    return Judgment(Verdict.DROP_IN, tuple(_reason(name, figures) for name, figures in towers.items()), few)


def lengths_agree(figures: Figures) -> bool:
    """Whether old and new vectors are about as long; those of different sizes are not compared."""
    low, high = figures.length_ratios
    return figures.cosines is None or (low >= 1 / MAX_LENGTH_RATIO and high <= MAX_LENGTH_RATIO)


def _reason(name: str, figures: Figures) -> str:
    merits = ", ".join(directions(figures)[1])
    return f"{name}: {merits}, and vectors are {_ratio(figures)} times as long as the old ones"


def _length_fault(name: str, figures: Figures) -> str:
    return (
        f"{name}: new vectors are {_ratio(figures)} times as long as old ones (required: {1 / MAX_LENGTH_RATIO:.3f} to "
        f"{MAX_LENGTH_RATIO}), so that they would weigh differently in objects that combine several"
    )


def _ratio(figures: Figures) -> str:
    low, high = figures.length_ratios
    return f"{low:.3f} to {high:.3f}"
