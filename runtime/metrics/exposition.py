"""Writes the figures of all workers in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from runtime.metrics.board import Board
from runtime.metrics.http_figures import start_of
from runtime.metrics.layout import (
    COUNTERS,
    FIRST_STATUS,
    GAUGES,
    HISTOGRAM_NUMBERS,
    HISTOGRAMS,
    LATENCY,
    REQUESTS,
    SECONDS,
    STATUS_OFFSET,
    STATUSES,
    SUM,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


def exposition(board: Board, routes: Sequence[str]) -> Iterator[str]:
    """The lines of all that workers count. ``routes``: in the order in which they are counted."""
    rows = board.rows()

    def total(number: int) -> float:
        return sum(row[number] for row in rows)

    def totals(start: int, count: int) -> list[float]:
        return [sum(numbers) for numbers in zip(*(row[start : start + count] for row in rows), strict=True)]

    yield from header(REQUESTS, "Requests that were answered, by route and status.", "counter")
    for number, route in enumerate(routes):
        for status, count in enumerate(totals(start_of(number) + STATUS_OFFSET, STATUSES), FIRST_STATUS):
            if count:
                yield sample(REQUESTS, count, {"route": route, "status": str(status)})
    yield from header(LATENCY, "Time from the head of a request until its answer is written.", "histogram")
    for number, route in enumerate(routes):
        yield from histogram(LATENCY, totals(start_of(number), HISTOGRAM_NUMBERS), {"route": route})
    for each in HISTOGRAMS:
        yield from header(each.name, each.help, "histogram")
        yield from histogram(each.name, totals(each.start, HISTOGRAM_NUMBERS), {})
    for figure in (*COUNTERS, *GAUGES):
        yield from single(figure.name, figure.help, figure.kind, total(figure.start))
    yield from single("cpu2vec_worker_restarts_total", "Workers that ended unasked.", "counter", board.restarts)


def single(name: str, help: str, kind: str, value: float, labels: Labels | None = None) -> Iterator[str]:
    """A metric of one sample."""
    yield from header(name, help, kind)
    yield sample(name, value, labels or {})


def header(name: str, help: str, kind: str) -> Iterator[str]:
    """The lines before a metric's samples."""
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"


def histogram(name: str, numbers: Sequence[float], labels: Labels) -> Iterator[str]:
    """The samples of a histogram, whose ``numbers`` are as in a row."""
    counts = list(accumulate(numbers[:SUM]))
    for bound, count in zip((*map(repr, SECONDS), "+Inf"), counts, strict=True):
        yield sample(f"{name}_bucket", count, {**labels, "le": bound})
    yield sample(f"{name}_sum", numbers[SUM], labels)
    yield sample(f"{name}_count", counts[-1], labels)


def sample(name: str, value: float, labels: Labels) -> str:
    """One line. Labels may hold any characters."""
    inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    shown = str(int(value)) if value == int(value) else repr(value)
    return f"{name}{{{inner}}} {shown}" if inner else f"{name} {shown}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
