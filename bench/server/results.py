"""What the server benchmark yields: plain values that become JSON as they are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.load.loads import Load
from bench.process_tree import Memory
from bench.report.machine import Machine
from bench.report.statistics import median
from manifest import Fidelity


@dataclass(frozen=True)
class Settings:
    rounds: int
    """How often each load is put on each system."""
    seconds: float
    """How long each load lasts in a round; some last a multiple of it."""
    starts: int
    """How many starts of each server are timed."""
    idle_seconds: float
    """How long all servers are left idle, to see what CPU time they use."""


@dataclass(frozen=True)
class Sample:
    """One load on one system, once."""

    requests_per_second: float
    """Where losses are counted, this is the goodput: callers wait for no answer that comes too late for them."""
    p50_ms: float
    """Percentiles are over all answers, and 0 where there was none."""
    p99_ms: float
    max_ms: float
    requests: int
    seconds: float
    cpu_ms_per_request: float
    """CPU time of the server alone for each answer; 0 where there was none."""
    others_cpu_percent: float
    """Percent of all cores that neither the server nor the load generator used; should be close to 0."""
    generator_cpu_ms_per_request: float = 0.0
    """CPU time of the load generator for each request."""
    sent: int = 0
    """All requests, including those that were under way when the load's time was over."""
    lost: dict[str, int] = field(default_factory=dict)
    """How many of them were given up, by reason."""
    dials: int = 0
    """How many connections were opened."""
    resends: int = 0
    """How many requests were sent again because a kept connection had broken."""
    silence_seconds: float = 0.0
    """The longest time without an answer; 0 over kept connections, where it is not observed."""


@dataclass(frozen=True)
class SystemResult:
    """All that was measured of one system."""

    name: str
    about: str
    versions: dict[str, str]
    start_seconds: list[float]
    memory_after_start: Memory
    memory_after_load: Memory
    idle_cpu_percent: float
    """Percent of one core."""
    fidelity: Fidelity | None
    """None for a system without a model."""
    samples: dict[str, list[Sample]]
    """By the load's name, one sample for each round; none for a load that the system was not put under."""

    def values_of(self, load: str, field: str) -> list[float]:
        """One of ``Sample``'s fields, round by round."""
        return [getattr(sample, field) for sample in self.samples[load]]

    def median_of(self, load: str, field: str) -> float:
        return median(self.values_of(load, field))


@dataclass(frozen=True)
class Results:
    date: str
    commit: str
    model: str
    baseline: str
    """The name of the system that the other systems' figures are divided by, whether it was measured or not."""
    machine: Machine
    settings: Settings
    loads: list[Load]
    """In the order in which they were run."""
    systems: list[SystemResult]
    ops_ms: dict[str, list[float]] = field(default_factory=dict)
    """CPU time that the ops of a request take alone, by the load's name, one value for each round."""

    def system(self, name: str) -> SystemResult | None:
        return next((system for system in self.systems if system.name == name), None)


def save(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(results), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
