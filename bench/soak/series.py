"""Divides the answers among windows of time: how many, and how soon. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.statistics import percentile


@dataclass(frozen=True)
class Window:
    """The answers of some seconds."""

    at: float
    """Where it begins, in seconds from the beginning of the load."""
    seconds: float
    answers: int
    p50_ms: float
    """0, as the next one, where nothing was answered."""
    p99_ms: float

    @property
    def goodput(self) -> float:
        """Answers per second."""
        return self.answers / self.seconds


def windows(
    answered_at: Sequence[float], latencies: Sequence[float], start: float, end: float, width: float
) -> list[Window]:
    """From ``start`` to ``end``, by the clock of ``answered_at``. The last window is shorter."""
    count = max(1, math.ceil((end - start) / width - 1e-9))
    buckets: list[list[float]] = [[] for _ in range(count)]
    for at, latency in zip(answered_at, latencies, strict=True):
        if start <= at < end:
            buckets[min(count - 1, int((at - start) / width))].append(latency)
    return [
        Window(
            at=number * width,
            seconds=min(width, end - start - number * width),
            answers=len(bucket),
            p50_ms=percentile(bucket, 50) * 1e3 if bucket else 0.0,
            p99_ms=percentile(bucket, 99) * 1e3 if bucket else 0.0,
        )
        for number, bucket in enumerate(buckets)
    ]
