"""Times runs of several bundles' graphs in turn, on one core, without HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from bench.precisions.variants import UNCALIBRATED, Variant
from bench.progress import Log
from bench.report.statistics import median, median_ratio
from manifest import TextModel, read_manifest
from runtime.inference.engine import Engine, open_engine
from runtime.inference.native_ops import load_native_ops
from runtime.inference.token_batch import TokenBatch

SAMPLE_SECONDS = 0.05
"""Runs are repeated for about so long between two readings of the clock."""

LENGTHS = (16, 128)
ROUNDS = 40

FIRST_ID, IDS = 5, 50
"""These ids are in every vocabulary. Which ids a text has does not change the time."""

HEADER = ("weights", "tokens", "ms", "times")


def time_rows(variants: Mapping[str, Variant], log: Log) -> list[list[str]]:
    """A row for each length and variant, under ``HEADER``."""
    rows = []
    for tokens in [length for length in LENGTHS if length <= max_tokens(variants[UNCALIBRATED].bundle)]:
        log(f"timing runs of {tokens} tokens on one core")
        times = engine_times(variants, tokens, ROUNDS)
        for name, seconds in times.items():
            ratio = median_ratio(seconds, times[UNCALIBRATED])
            rows.append([name, str(tokens), f"{median(seconds) * 1e3:.2f}", f"{ratio:.3f}"])
    return rows


def engine_times(variants: Mapping[str, Variant], tokens: int, rounds: int) -> dict[str, list[float]]:
    """Seconds for a text of so many tokens, one value a round; all variants run in each round."""
    engines = {name: _engine(variant) for name, variant in variants.items()}
    batch = TokenBatch.of([FIRST_ID + index % IDS for index in range(tokens)])
    repeats = {name: _repeats(engine, batch) for name, engine in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, engine in engines.items():
            times[name].append(_time(engine, batch, repeats[name]))
    return times


def max_tokens(bundle: Path) -> int:
    """The most tokens that a text may have."""
    return read_manifest(bundle).section_as(TextModel).main_encoder.max_tokens


def _engine(variant: Variant) -> Engine:
    model = read_manifest(variant.bundle).section_as(TextModel)
    graph = model.graphs[model.main_encoder.graph]
    return open_engine(variant.bundle / graph.file, graph, 1, load_native_ops([graph.ops], variant.isa))


def _repeats(engine: Engine, batch: TokenBatch) -> int:
    _time(engine, batch, 3)
    return max(1, round(SAMPLE_SECONDS / _time(engine, batch, 3)))


def _time(engine: Engine, batch: TokenBatch, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        engine.run(batch, 1)
    return (time.perf_counter() - start) / repeats
