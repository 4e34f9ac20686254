"""Defines ``fidelity.json``: how far a bundle's vectors are from the original's, text by text, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from build.fidelity.cosine import DECIMALS
from build.fidelity.cpu_classes import Arithmetic
from build.fidelity.thresholds import Thresholds
from build.quantization.record import WeightRecord
from manifest import CosineFigures, Task

LENGTHS = (1, 9, 17, 33, 65, 129, 257)
"""Where the bins of text lengths begin, in tokens; the last has no end."""

WORST = 10


@dataclass(frozen=True)
class Measured:
    """A text with the cosine of its served vector to the original's.

    ``number``: its place in its list, from 1; for held-out texts the line of ``build/data/heldout.txt``. ``task`` and
    ``prompt_name`` are what a request gave with it. ``tokens``: as the model read it, prompt and special ones included.
    """

    number: int
    text: str
    task: Task | None
    prompt_name: str | None
    tokens: int
    cosine: float


@dataclass(frozen=True)
class MeasuredClass:
    """What CPUs of one class return."""

    arithmetic: Arithmetic
    cosine: CosineFigures
    """The figures of the held-out texts."""
    heldout: tuple[Measured, ...]
    golden: tuple[Measured, ...]


@dataclass(frozen=True)
class TextFigure:
    """The same without the text."""

    number: int
    task: Task | None
    prompt_name: str | None
    tokens: int
    cosine: float


@dataclass(frozen=True)
class LengthFigures:
    """Texts of ``first`` to ``last`` tokens (None: of any more)."""

    first: int
    last: int | None
    texts: int
    cosine_mean: float
    cosine_min: float


@dataclass(frozen=True)
class ClassFigures:
    """The figures of one class of arithmetic. ``cpus`` is a sentence that says which CPUs belong to it."""

    cpus: str
    fidelity: CosineFigures


@dataclass(frozen=True)
class FidelityReport:
    """``classes`` by the name of the arithmetic; texts are those of the first. ``worst`` from the lowest cosine up.

    ``stock_kernels``: graphs that onnxruntime's own kernels run although native ones were asked for, with the reason.
    """

    classes: dict[str, ClassFigures]
    thresholds: Thresholds
    texts: tuple[TextFigure, ...]
    lengths: tuple[LengthFigures, ...]
    worst: tuple[Measured, ...]
    treatments: tuple[WeightRecord, ...]
    stock_kernels: dict[str, str]


def make_report(
    classes: dict[str, ClassFigures],
    thresholds: Thresholds,
    texts: Sequence[Measured],
    treatments: tuple[WeightRecord, ...],
    stock_kernels: dict[str, str],
) -> FidelityReport:
    """The report on held-out ``texts``, whose cosines are numbers."""
    return FidelityReport(
        classes=classes,
        thresholds=thresholds,
        texts=tuple(TextFigure(one.number, one.task, one.prompt_name, one.tokens, one.cosine) for one in texts),
        lengths=tuple(by_length(texts)),
        worst=tuple(worst_first(texts)[:WORST]),
        treatments=treatments,
        stock_kernels=stock_kernels,
    )


def worst_first(texts: Sequence[Measured]) -> list[Measured]:
    """By cosine, those that are not numbers before all; equal ones in their order."""
    return sorted(texts, key=lambda one: (one.cosine == one.cosine, one.cosine))


def by_length(texts: Sequence[Measured]) -> list[LengthFigures]:
    """The figures of each bin that has texts; a text without any token counts to the first."""
    found = []
    for first, following in zip(LENGTHS, (*LENGTHS[1:], None), strict=True):
        last = None if following is None else following - 1
        least = 0 if first == LENGTHS[0] else first
        cosines = [one.cosine for one in texts if least <= one.tokens and (last is None or one.tokens <= last)]
        if cosines:
            mean = round(sum(cosines) / len(cosines), DECIMALS)
            found.append(LengthFigures(first, last, len(cosines), mean, round(min(cosines), DECIMALS)))
    return found
