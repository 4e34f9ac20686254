"""Defines what a measurement yields: plain values that become JSON as they are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.process_tree import Memory
from bench.report.machine import Machine
from bench.report.statistics import median
from manifest import Fidelity


@dataclass(frozen=True)
class Settings:
    rounds: int
    seconds: float
    starts: int
    idle_seconds: float


@dataclass(frozen=True)
class Sample:
    """One load on one system, once.

    ``cpu_ms_per_request`` is the server's; ``others_cpu_percent`` is the part of all cores that neither the server
    nor the load generator used, and should be near 0.
    """

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    requests: int
    seconds: float
    cpu_ms_per_request: float
    others_cpu_percent: float


@dataclass(frozen=True)
class SystemResult:
    """``samples`` maps a load's name to one sample a round. ``idle_cpu_percent`` is of one core."""

    name: str
    about: str
    versions: dict[str, str]
    start_seconds: list[float]
    memory_after_start: Memory
    memory_after_load: Memory
    idle_cpu_percent: float
    fidelity: Fidelity
    samples: dict[str, list[Sample]]

    def median_of(self, load: str, field: str) -> float:
        """The median over rounds of one of ``Sample``'s fields."""
        return median([getattr(sample, field) for sample in self.samples[load]])


@dataclass(frozen=True)
class Results:
    date: str
    commit: str
    model: str
    baseline: str
    machine: Machine
    settings: Settings
    systems: list[SystemResult]


def save(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(results), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
