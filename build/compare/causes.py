"""Finds out why the old vectors differ: tries hypotheses on the bundle and measures which brings its vectors closer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from build.compare.hypotheses import TRUNCATE, Cause, Explanation, Hypothesis, explanations
from build.fidelity.cosine import cosines
from manifest import Task

Vectors = NDArray[np.float32]
Values = NDArray[np.float64]

SAMPLE = 50
"""Each hypothesis is tried on this many texts: enough to rank hypotheses, few enough for a model that takes 100 ms a
text.
"""

MAX_REMAINING = 0.5
"""A hypothesis explains something if at most this share of the mean distance (1 - cosine) remains. A wrong one removes
none of it.
"""

SAME = 1e-5
"""A mean distance below this leaves nothing to explain."""

RELATED = 0.9
"""One model in two roundings has at least this likeness; the coarsest int8 in use reaches 0.95."""

UNRELATED = 0.5
"""Below this likeness, vectors have nothing in common. Two different models have a likeness of about 0."""

LONG_DIFFERENCE = 1e-6
"""A text is long if truncation moves its vector by more than this (1 - cosine)."""


@dataclass(frozen=True)
class Finding:
    """An explanation that the measurements support."""

    cause: Cause
    text: str
    cosine: float | None = None
    """The sample's mean cosine under this hypothesis and those found before it; None where none was tried."""


@dataclass(frozen=True)
class Trial:
    """An explanation and the sample's vectors under its hypothesis, (texts, dim)."""

    explanation: Explanation
    vectors: Vectors


@dataclass(frozen=True)
class Experiment:
    """How hypotheses about the old container are tested on a sample of the texts."""

    old: Vectors
    """The old container's vectors of the sample, (texts, dim)."""
    task: Task | None
    """The task of the texts."""
    embed: Callable[[Hypothesis], Vectors]
    """Returns the bundle's vectors of the sample under a hypothesis."""
    enough: float
    """Cosines of at least this (1st percentile) need no further explanation."""

    def trials(self, hypothesis: Hypothesis | None) -> list[Trial]:
        """Every explanation that differs in one thing from ``hypothesis``, tried. None where nothing can be tried."""
        if hypothesis is None:
            return []
        return [Trial(found, self.embed(found.hypothesis)) for found in explanations(hypothesis, self.task)]

    def cosines(self, vectors: Vectors) -> Values:
        """Cosines to the old vectors, over the components that both have."""
        return _cosines(self.old, vectors)

    def explains_enough(self, values: Values) -> bool:
        return bool(np.percentile(values, 1) >= self.enough)


def sample(old: Vectors, new: Vectors) -> NDArray[np.int64]:
    """Indices of the texts to try hypotheses on: half are those that differ most, half are spread over the rest."""
    order = np.argsort(_cosines(old, new), kind="stable")
    if len(order) <= SAMPLE:
        return order
    worst, rest = order[: SAMPLE // 2], order[SAMPLE // 2 :]
    spread = np.linspace(0, len(rest) - 1, SAMPLE - len(worst)).round().astype(np.int64)
    return np.concatenate([worst, rest[spread]])


def find_causes(experiment: Experiment, hypothesis: Hypothesis | None, new: Vectors) -> tuple[Finding, ...]:
    """Change one thing after another, always the one that explains most, until nothing explains more.

    ``new`` (texts, dim) are the bundle's vectors of the sample under ``hypothesis``, which is how the bundle embeds;
    None for a kind of model about which there are no hypotheses.
    """
    findings: list[Finding] = []
    current = experiment.cosines(new)
    while _distance(current) > SAME and not (findings and experiment.explains_enough(current)):
        trials = experiment.trials(hypothesis)
        best = min(trials, key=lambda trial: _distance(experiment.cosines(trial.vectors)), default=None)
        values = experiment.cosines(best.vectors) if best is not None else current
        if best is None or _distance(values) > MAX_REMAINING * _distance(current):
            rest = _long_texts(experiment, new, trials) or _unexplained(experiment, new, bool(findings))
            return (*findings, *fewer_components(experiment.old, new), *rest)
        hypothesis, new, current = best.explanation.hypothesis, best.vectors, values
        findings.append(Finding(best.explanation.cause, best.explanation.text, _mean(current)))
    return (*findings, *fewer_components(experiment.old, new))


def fewer_components(old: Vectors, new: Vectors) -> tuple[Finding, ...]:
    """Whether the vectors of one side are the first components of the other's, and how many."""
    before, after = old.shape[1], new.shape[1]
    if before == after or _likeness(old, new) < RELATED:
        return ()
    fewer, more = ("old", "new") if before < after else ("new", "old")
    text = f"the {fewer} vectors are the first {min(before, after)} components of the {more} ones"
    return (Finding(Cause.FIRST_COMPONENTS, text, _mean(_cosines(old, new))),)


def _long_texts(experiment: Experiment, new: Vectors, trials: list[Trial]) -> tuple[Finding, ...]:
    """Whether only long texts differ: those whose vectors change when they are truncated."""
    truncated = next((trial.vectors for trial in trials if trial.explanation.hypothesis.long_text == TRUNCATE), None)
    if truncated is None or truncated.shape != new.shape:
        return ()
    long = cosines(truncated, new) < 1 - LONG_DIFFERENCE
    if not long.any() or long.all() or not experiment.explains_enough(experiment.cosines(new)[~long]):
        return ()
    text = (
        f"only texts longer than the model's window differ ({long.sum()} of the {len(long)} that were tried): "
        "the old container neither truncates them nor averages over windows as the bundle does"
    )
    return (Finding(Cause.LONG_TEXTS, text),)


def _unexplained(experiment: Experiment, new: Vectors, explained: bool) -> tuple[Finding, ...]:
    """What no hypothesis explains, by how much of it there is."""
    values = experiment.cosines(new)
    if explained and experiment.explains_enough(values):
        return ()
    subject = f"{'the remaining difference, ' if explained else ''}a mean cosine of {_mean(values):.4f} on the sample"
    likeness = _likeness(experiment.old, new)
    if likeness >= RELATED:
        return (
            Finding(Cause.ROUNDING, f"{subject}, is one model in two roundings: one is quantized, or more coarsely"),
        )
    if likeness < UNRELATED and not explained:
        return (Finding(Cause.ANOTHER_MODEL, f"{subject}, and no way of using this model comes closer"),)
    return (Finding(Cause.UNKNOWN, f"{subject}, is explained by nothing that was tried"),)


def _cosines(old: Vectors, new: Vectors) -> Values:
    """Cosines over the first components, as many as both have."""
    width = min(old.shape[1], new.shape[1])
    return cosines(old[:, :width], new[:, :width])


def _likeness(old: Vectors, new: Vectors) -> float:
    """The mean cosine after centering: in some models, all texts share a large mean vector."""
    return _mean(_cosines(old - old.mean(axis=0), new - new.mean(axis=0)))


def _distance(values: Values) -> float:
    return max(0.0, 1 - _mean(values))


def _mean(values: Values) -> float:
    return float(values.mean())
