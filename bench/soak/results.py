"""What a soak yields: plain values that become JSON as they are. Times are in seconds from the load's beginning."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.errors import InvalidOption
from bench.report.machine import Machine
from bench.report.slopes import Slope
from bench.soak.losses import Losses
from bench.soak.observer import Look
from bench.soak.plan import Plan
from bench.soak.series import Window

INTERRUPTED = "Ctrl-C"


@dataclass(frozen=True)
class Count:
    """The requests of one kind of callers."""

    sent: int
    answered: int


@dataclass(frozen=True)
class ServerResult:
    """One server of those that took turns."""

    number: int
    start_seconds: float
    """From exec until it was ready."""
    ready_at: float
    """Below 0 for the first one."""
    asked_at: float | None
    """When it was asked to end; None for the last one, which stayed until the load was over."""
    ended_at: float | None
    status: int | None
    """Its exit status."""
    cut: int
    """How many requests were in progress when ``DRAIN_SECONDS`` were over, as its log tells."""
    idle_rss_mb: float
    """Resident memory when it was ready, before anybody came."""
    idle_descriptors: int
    """File descriptors then."""
    descriptors_left: int | None
    """The same after the load, of the last one."""


@dataclass(frozen=True)
class Soak:
    """All that was measured."""

    date: str
    commit: str
    model: str
    bundle: str
    machine: Machine
    plan: Plan
    stopped_by: str
    """What ended the load before its time; empty where nothing did."""
    seconds: float
    """For so long requests were sent."""
    callers: dict[str, Count]
    """By caller."""
    left: int
    """How many requests were left by their callers, as they were meant to be."""
    dials: int
    resends: int
    """How many requests were sent again because a kept connection had broken, as Weaviate does."""
    losses: Losses
    compared: int
    """How many answers were compared with what is known."""
    first_wrong: str
    p50_ms: float
    """Of Weaviate's callers; 0, as the next ones, where nothing was answered."""
    p99_ms: float
    max_ms: float
    windows: list[Window]
    large_seconds: list[float]
    """What each text of a megabyte took."""
    looks: list[Look]
    servers: list[ServerResult]
    rss_slope: Slope | None
    """Within the servers' lives, after their warm-up; in MB. None where there was too little to see."""
    descriptors_slope: Slope | None
    others_percent: float
    """Percent of all cores that neither servers nor callers used."""

    @property
    def answers(self) -> int:
        return sum(count.answered for count in self.callers.values())

    @property
    def goodput(self) -> float:
        """What Weaviate's callers were answered in a second."""
        return sum(window.answers for window in self.windows) / self.seconds if self.seconds else 0.0

    def looks_at(self, number: int) -> list[Look]:
        """Those at one server, in order."""
        return [look for look in self.looks if look.server == number]


def save(soak: Soak, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(soak), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def load(path: Path) -> Soak:
    """What ``save`` wrote. Raises ``InvalidOption`` for anything else, and ``OSError``."""
    try:
        return _read(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError):
        raise InvalidOption(f"{path} is not what a soak has saved") from None


def _read(fields: dict[str, Any]) -> Soak:
    nested = {
        "machine": Machine(**{**fields["machine"], "flags": tuple(fields["machine"]["flags"])}),
        "plan": Plan(**fields["plan"]),
        "callers": {name: Count(**count) for name, count in fields["callers"].items()},
        "losses": Losses(**fields["losses"]),
        "windows": [Window(**window) for window in fields["windows"]],
        "looks": [Look(**look) for look in fields["looks"]],
        "servers": [ServerResult(**server) for server in fields["servers"]],
        "rss_slope": Slope(**fields["rss_slope"]) if fields["rss_slope"] else None,
        "descriptors_slope": Slope(**fields["descriptors_slope"]) if fields["descriptors_slope"] else None,
    }
    return Soak(**{**fields, **nested})
