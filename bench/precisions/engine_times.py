"""Times runs of several bundles' graphs, one round of all after another, on one core, without HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.report.statistics import median
from manifest import read_manifest
from runtime.inference.engine import Engine, open_engine
from runtime.inference.native_ops import open_kernels
from runtime.inference.token_batch import TokenBatch

SAMPLE_SECONDS = 0.05
"""Runs are repeated for about so long between two looks at the clock."""

FIRST_ID, IDS = 5, 50
"""Ids that every vocabulary has. Which ones they are does not change the time."""


@dataclass(frozen=True)
class Timed:
    """A bundle, and the instruction set that native kernels are forced to use, None for their own choice."""

    bundle: Path
    isa: str | None = None


def engine_times(subjects: Mapping[str, Timed], tokens: int, rounds: int) -> dict[str, list[float]]:
    """Seconds for a text of so many tokens, by name, one for each round: the rounds are the same times."""
    engines = {name: _engine(subject) for name, subject in subjects.items()}
    batch = TokenBatch.of([FIRST_ID + n % IDS for n in range(tokens)])
    repeats = {name: _repeats(engine, batch) for name, engine in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, engine in engines.items():
            times[name].append(_timed(engine, batch, repeats[name]))
    return times


def longest(bundle: Path) -> int:
    """The most tokens that a text may have."""
    return read_manifest(bundle).text.main_encoder.max_tokens


def median_ratio(times: Sequence[float], reference: Sequence[float]) -> float:
    """The median over rounds of the ratio in each: what disturbs a round disturbs both."""
    return median([own / other for own, other in zip(times, reference, strict=True)])


def _engine(subject: Timed) -> Engine:
    model = read_manifest(subject.bundle).text
    graph = model.graphs[model.main_encoder.graph]
    return open_engine(subject.bundle / graph.file, graph, 1, open_kernels([graph.ops], subject.isa))


def _repeats(engine: Engine, batch: TokenBatch) -> int:
    _timed(engine, batch, 3)
    return max(1, round(SAMPLE_SECONDS / _timed(engine, batch, 3)))


def _timed(engine: Engine, batch: TokenBatch, repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        engine.run(batch, 1)
    return (time.perf_counter() - started) / repeats
