"""Defines ``fidelity.json``: how far a bundle is from the original, text by text, and how its weights are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from build.fidelity.cosine import DECIMALS
from build.fidelity.cpu_classes import CpuClass
from build.fidelity.thresholds import ScoreThresholds, Thresholds
from build.quantization.record import WeightRecord
from manifest import CosineFigures, ScoreFigures, Task

LENGTHS = (1, 9, 17, 33, 65, 129, 257)
"""The bins of text lengths begin at these numbers of tokens; the last bin has no end."""

WORST = 10
"""The report quotes this many of the texts with the lowest cosines."""


@dataclass(frozen=True)
class MeasuredText:
    """A text with the cosine of its served vector to the original's."""

    number: int
    """Its position in its list, from 1; for held-out texts the line of ``build/data/heldout.txt``."""

    text: str

    task: Task | None
    """The task of the request."""

    prompt_name: str | None
    """The prompt's name in the request."""

    tokens: int
    """How many tokens the model read, including the prompt and special tokens."""

    cosine: float


@dataclass(frozen=True)
class MeasuredClass:
    """What CPUs of one class return."""

    cpu_class: CpuClass

    cosine: CosineFigures
    """The figures of the held-out texts."""

    heldout: tuple[MeasuredText, ...]
    golden: tuple[MeasuredText, ...]


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
    """Texts of ``first`` to ``last`` tokens; None: without an upper limit."""

    first: int
    last: int | None
    texts: int
    cosine_mean: float
    cosine_min: float


@dataclass(frozen=True)
class ClassFigures:
    """The figures of one class of CPUs."""

    cpu_class: CpuClass
    figures: CosineFigures


@dataclass(frozen=True)
class CosineReport:
    """Cosines of the bundle's vectors to the original's, on held-out texts."""

    classes: tuple[ClassFigures, ...]
    """The class of the best instruction set of the machine that verified the bundle comes first."""

    thresholds: Thresholds
    """The figures of every class must reach these."""

    texts: tuple[TextFigure, ...]
    """All texts, as measured in the first class; so are ``lengths`` and ``worst``."""

    lengths: tuple[LengthFigures, ...]

    worst: tuple[MeasuredText, ...]
    """The texts with the lowest cosines, the lowest first."""


@dataclass(frozen=True)
class ClassScores:
    """How far the scores of a class of CPUs are from the original's."""

    cpu_class: CpuClass
    figures: ScoreFigures
    thresholds: ScoreThresholds
    """The figures of this class must reach these."""


@dataclass(frozen=True)
class QueryScores:
    """The documents of one held-out query."""

    query: str
    rank_agreement: float
    """Kendall's tau."""
    error_rms: float
    """As a share of the spread of all logits of the original."""


@dataclass(frozen=True)
class ScoreReport:
    """Logits of the bundle beside the original's, on held-out queries with documents."""

    classes: tuple[ClassScores, ...]
    """The class of the best instruction set of the machine that verified the bundle comes first."""

    worst: tuple[QueryScores, ...]
    """The queries with the lowest agreement in the first class, the lowest first."""


@dataclass(frozen=True)
class FidelityReport:
    """Everything that a build measured: one section for each sort of figures, and how weights are stored."""

    cosine: CosineReport | None
    """None for a kind of model that does not answer with vectors."""

    weight_records: tuple[WeightRecord, ...]

    stock_kernels: dict[str, str]
    """Graphs that onnxruntime's own kernels run although native ones were requested, with the reason."""

    scores: ScoreReport | None = None
    """None for a kind of model that does not answer with scores."""

    images: CosineReport | None = None
    """The same of images, which are its texts here; None for a kind of model that takes none."""


def cosine_report(classes: Sequence[MeasuredClass], thresholds: Thresholds) -> CosineReport:
    """Report on the held-out texts, whose cosines must not be NaN; the texts are those of the first class."""
    texts = classes[0].heldout
    return CosineReport(
        classes=tuple(ClassFigures(measured.cpu_class, measured.cosine) for measured in classes),
        thresholds=thresholds,
        texts=tuple(TextFigure(text.number, text.task, text.prompt_name, text.tokens, text.cosine) for text in texts),
        lengths=tuple(by_length(texts)),
        worst=tuple(by_cosine(texts)[:WORST]),
    )


def by_cosine(texts: Sequence[MeasuredText]) -> list[MeasuredText]:
    """Sort by cosine, the lowest first; NaN comes before all, and equal cosines keep their order."""
    return sorted(texts, key=lambda text: (text.cosine == text.cosine, text.cosine))


def by_length(texts: Sequence[MeasuredText]) -> list[LengthFigures]:
    """Return the figures of each bin that has texts; a text without any token belongs to the first."""
    found = []
    for first, following in zip(LENGTHS, (*LENGTHS[1:], None), strict=True):
        last = None if following is None else following - 1
        least = 0 if first == LENGTHS[0] else first
        cosines = [text.cosine for text in texts if least <= text.tokens and (last is None or text.tokens <= last)]
        if cosines:
            mean = round(sum(cosines) / len(cosines), DECIMALS)
            found.append(LengthFigures(first, last, len(cosines), mean, round(min(cosines), DECIMALS)))
    return found
