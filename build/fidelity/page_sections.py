"""What the fidelity page shows of a report, ready for the templates. Pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from build.fidelity.charts import Bar, Histogram, error_bars, error_of, histogram
from build.fidelity.cpu_classes import CpuClass
from build.fidelity.report import ClassFigures, ClassScores, CosineReport, LengthFigures, QueryScores, ScoreReport
from build.fidelity.thresholds import COSINE_OPTIONS, SCORE_OPTIONS, Option, Thresholds
from build.quantization.record import WeightRecord

SHOWN_WEIGHTS = 10
"""The weights with the largest errors are shown at once, the others on demand."""


@dataclass(frozen=True)
class Yardstick:
    """What ``docs/fidelity.md`` has measured for the default model, on the same held-out texts."""

    model: str
    plain_int8: float
    """The mean cosine of plain int8: one scale per output channel, nothing else."""
    plain_int8_neighbors: float
    """The part of each text's ten nearest neighbors that plain int8 keeps."""
    int8: float
    int8_neighbors: float


YARDSTICK = Yardstick("all-MiniLM-L6-v2", 0.99285, 0.912, 0.99972, 0.978)
"""A test compares this with the page of the docs."""


@dataclass(frozen=True)
class Figure:
    """A figure beside the value that the build accepts at the worst."""

    option: Option
    value: float
    required: float

    @property
    def label(self) -> str:
        """Its name."""
        return self.option.figure[:1].upper() + self.option.figure[1:]

    @property
    def passes(self) -> bool:
        """Whether the figure is within its threshold; NaN is not."""
        return self.option.passes(self.value, self.required)


@dataclass(frozen=True)
class ClassRow:
    """A class of CPUs with its figures."""

    cpu_class: CpuClass
    count: int
    """How many held-out texts or pairs they stand on."""
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class CosineSection:
    """What the page shows of a ``CosineReport``."""

    report: CosineReport
    classes: tuple[ClassRow, ...]
    angle: float
    """The angle of the mean cosine, in degrees."""
    yardstick: tuple[Bar, Bar]
    """The mean errors of this bundle and of plain int8."""
    histogram: Histogram
    lengths: tuple[tuple[LengthFigures, Bar], ...]

    @property
    def passes(self) -> bool:
        """Whether every figure of every class reaches its threshold."""
        return all(figure.passes for row in self.classes for figure in row.figures)


@dataclass(frozen=True)
class ScoreSection:
    """What the page shows of a ``ScoreReport``."""

    classes: tuple[ClassRow, ...]
    worst: tuple[QueryScores, ...]

    @property
    def passes(self) -> bool:
        """Whether every figure of every class is within its threshold."""
        return all(figure.passes for row in self.classes for figure in row.figures)


@dataclass(frozen=True)
class WeightRow:
    """One weight: its name, its error and what sets it apart."""

    name: str
    error: float | None
    details: str


@dataclass(frozen=True)
class WeightSection:
    """How the weights are stored, the largest error first."""

    usual: str
    """The storage that most weights have."""
    shown: tuple[WeightRow, ...]
    others: tuple[WeightRow, ...]
    """Rows that are shown on demand."""


def cosine_section(report: CosineReport) -> CosineSection:
    """Return what the page shows of a report on cosines."""
    mean = report.classes[0].figures.mean
    errors = (error_of(mean), error_of(YARDSTICK.plain_int8))
    ours, plain = (100 * (error / max(errors)) for error in errors)
    return CosineSection(
        report=report,
        classes=tuple(_class_row(found, report.thresholds) for found in report.classes),
        angle=math.degrees(math.acos(max(-1.0, min(1.0, mean)))),
        yardstick=(Bar(ours, ours), Bar(plain, plain)),
        histogram=histogram([text.cosine for text in report.texts]),
        lengths=tuple(zip(report.lengths, error_bars(report.lengths), strict=True)),
    )


def score_section(report: ScoreReport) -> ScoreSection:
    """Return what the page shows of a report on scores."""
    return ScoreSection(tuple(map(_score_row, report.classes)), report.worst)


def weight_section(records: Sequence[WeightRecord]) -> WeightSection | None:
    """Return what the page shows of the weights; None if nothing is known of them."""
    if not records:
        return None
    usual = Counter(map(_storage, records)).most_common(1)[0][0]
    rows = [WeightRow(record.weight, record.error, _details(record, usual)) for record in by_error(records)]
    return WeightSection(usual, tuple(rows[:SHOWN_WEIGHTS]), tuple(rows[SHOWN_WEIGHTS:]))


def by_error(records: Sequence[WeightRecord]) -> list[WeightRecord]:
    """Sort by error, the largest first; weights whose error was not measured come last."""
    return sorted(records, key=lambda record: -math.inf if record.error is None else record.error, reverse=True)


def _class_row(found: ClassFigures, thresholds: Thresholds) -> ClassRow:
    return ClassRow(found.cpu_class, found.figures.count, _figures(COSINE_OPTIONS, found.figures, thresholds))


def _score_row(found: ClassScores) -> ClassRow:
    return ClassRow(found.cpu_class, found.figures.count, _figures(SCORE_OPTIONS, found.figures, found.thresholds))


def _figures(options: Sequence[Option], found: object, required: object) -> tuple[Figure, ...]:
    return tuple(Figure(option, getattr(found, option.field), getattr(required, option.field)) for option in options)


def _storage(record: WeightRecord) -> str:
    if record.storage == "fp32":
        return record.storage
    return f"{record.storage}, rounded {'with GPTQ' if record.rounding == 'gptq' else f'to {record.rounding}'}"


def _details(record: WeightRecord, usual: str) -> str:
    """A weight's shape, and what was done to it besides the ``usual`` storage."""
    words = [" × ".join(map(str, record.shape))]
    if (storage := _storage(record)) != usual:
        words.append(storage)
    if record.smoothing is not None:
        words.append(f"SmoothQuant, alpha {record.smoothing:g}")
    if record.repeated:
        words.append(f"{record.repeated} channels split")
    if not record.folded and (record.smoothing is not None or record.repeated):
        words.append("scaled by a separate node")
    return ", ".join(words)
