"""Finds out why the old vectors differ, by asking the bundle's model in other ways and measuring which comes nearer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from build.compare.hypotheses import TRUNCATE, Cause, Guess, Way, guesses
from build.fidelity.cosine import cosines
from manifest import Task

Vectors = NDArray[np.float32]
Values = NDArray[np.float64]

SAMPLE = 50
"""Texts for each try: enough to tell which one comes nearer, few enough for a model that takes 100 ms a text."""

NEARER = 0.5
"""A way explains something if it takes away half of the distance (1 - cosine, in the mean): a wrong one takes none."""

SAME = 1e-5
"""A mean distance below this leaves nothing to explain."""

RELATED = 0.9
"""One model in two roundings has a likeness from here on: the coarsest int8 in use comes to 0.95."""

UNRELATED = 0.5
"""Below, vectors have nothing in common: the likeness of two models is about 0."""

LONG_DIFFERENCE = 1e-6


@dataclass(frozen=True)
class Finding:
    """``cosine``: the mean one on the sample once the bundle is asked in this way, too; None: nothing was asked."""

    cause: Cause
    says: str
    cosine: float | None = None


def sample(old: Vectors, new: Vectors) -> NDArray[np.int64]:
    """Places of the texts to try ways on: half of them those that differ most, the others spread over the rest."""
    order = np.argsort(_cosines(old, new), kind="stable")
    if len(order) <= SAMPLE:
        return order
    worst, rest = order[: SAMPLE // 2], order[SAMPLE // 2 :]
    spread = np.linspace(0, len(rest) - 1, SAMPLE - len(worst)).round().astype(np.int64)
    return np.concatenate([worst, rest[spread]])


def find_causes(
    old: Vectors, new: Vectors, way: Way, task: Task | None, ask: Callable[[Way], Vectors], enough: float
) -> tuple[Finding, ...]:
    """Change one thing after another, always the one that explains most, until nothing explains more.

    ``old`` (texts, old dim) and ``new`` (texts, new dim) are the containers' vectors of the sample, ``way`` is the new
    one's; ``ask`` gives the sample's vectors in another way. Cosines from ``enough`` on (1st percentile) need no
    further explanation. The first components count where the one has more of them than the other.
    """
    findings: list[Finding] = []
    nearest = _cosines(old, new)
    while _distance(nearest) > SAME and not (findings and _are_enough(nearest, enough)):
        tried = [(guess, ask(guess.way)) for guess in guesses(way, task)]
        guess, vectors = min(tried, key=lambda one: _distance(_cosines(old, one[1])))
        values = _cosines(old, vectors)
        if _distance(values) > NEARER * _distance(nearest):
            rest = _long_texts(nearest, new, tried, enough) or _rest(old, new, bool(findings), enough)
            return (*findings, *_shortened(old, new), *rest)
        way, new, nearest = guess.way, vectors, values
        findings.append(Finding(guess.cause, guess.says, _mean(nearest)))
    return (*findings, *_shortened(old, new))


def _shortened(old: Vectors, new: Vectors) -> tuple[Finding, ...]:
    """Whether one has the first components of the other, and how many."""
    before, after = old.shape[1], new.shape[1]
    if before == after or _likeness(old, new) < RELATED:
        return ()
    fewer, more = ("old", "new") if before < after else ("new", "old")
    says = f"the {fewer} vectors are the first {min(before, after)} components of the {more} ones"
    return (Finding(Cause.FIRST_COMPONENTS, says, _mean(_cosines(old, new))),)


def _long_texts(values: Values, new: Vectors, tried: list[tuple[Guess, Vectors]], enough: float) -> tuple[Finding, ...]:
    """Long texts are those that come out otherwise when they are cut off."""
    cut = next((vectors for guess, vectors in tried if guess.way.long_text == TRUNCATE), None)
    if cut is None or cut.shape != new.shape:
        return ()
    long = cosines(cut, new) < 1 - LONG_DIFFERENCE
    if not long.any() or long.all() or not _are_enough(values[~long], enough):
        return ()
    says = (
        f"only texts that are longer than the model takes differ ({long.sum()} of the {len(long)} that were tried): "
        "the old one neither cuts them off nor averages over windows as the bundle does"
    )
    return (Finding(Cause.LONG_TEXTS, says),)


def _rest(old: Vectors, new: Vectors, explained: bool, enough: float) -> tuple[Finding, ...]:
    """What no way explains, by how much of it there is."""
    values = _cosines(old, new)
    if explained and _are_enough(values, enough):
        return ()
    left = "what is left, " if explained else ""
    what = f"{left}a mean cosine of {_mean(values):.4f} on the texts that were tried"
    likeness = _likeness(old, new)
    if likeness >= RELATED:
        return (Finding(Cause.ROUNDING, f"{what}, is one model in two roundings: one is quantised, or more coarsely"),)
    if likeness < UNRELATED and not explained:
        return (Finding(Cause.ANOTHER_MODEL, f"{what}, and nearer in no way that this model can be asked"),)
    return (Finding(Cause.UNKNOWN, f"{what}, is explained by nothing that was tried"),)


def _are_enough(values: Values, enough: float) -> bool:
    return bool(np.percentile(values, 1) >= enough)


def _cosines(old: Vectors, new: Vectors) -> Values:
    width = min(old.shape[1], new.shape[1])
    return cosines(old[:, :width], new[:, :width])


def _likeness(old: Vectors, new: Vectors) -> float:
    """The mean cosine of what tells texts apart: without the mean vector, which in some models all texts share."""
    return _mean(_cosines(old - old.mean(axis=0), new - new.mean(axis=0)))


def _distance(values: Values) -> float:
    return max(0.0, 1 - _mean(values))


def _mean(values: Values) -> float:
    return float(values.mean())
