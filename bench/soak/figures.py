"""Makes the figures of a soak out of what its parts have seen."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.machine import Machine, commit
from bench.report.slopes import Points, slope_within, thin
from bench.report.statistics import percentile
from bench.soak.callers.crowd import Caller
from bench.soak.callers.load import Callers
from bench.soak.clock import Clock
from bench.soak.fleet import Life
from bench.soak.losses import Drain, sort_losses
from bench.soak.observer import Look
from bench.soak.plan import WARM_UP_SECONDS, Plan
from bench.soak.results import Count, ServerResult, Soak
from bench.soak.series import windows
from build.paths import ROOT

WINDOWS = 60
"""A soak is divided into so many equal windows, fewer where they would be shorter than a second."""

POINT_SECONDS = 5.0
"""Growth is estimated from the medians of so many seconds each."""


@dataclass(frozen=True)
class Subject:
    """What was soaked, and how."""

    model: str
    bundle: str
    machine: Machine
    plan: Plan
    stopped_by: str
    others_percent: float


def figures(subject: Subject, lives: Sequence[Life], callers: Callers, looks: Sequence[Look], clock: Clock) -> Soak:
    """All figures. Moments become seconds from the beginning of the load."""
    tally, crowd = callers.loop.tally, callers.crowd.tally
    latencies = tally.latencies
    drains = [Drain(life.asked_at, life.ended_at, life.cut) for life in lives if life.asked_at and life.ended_at]
    counts = {Caller.WEAVIATE: Count(tally.sent, tally.answers)}
    counts |= {caller: Count(crowd.sent[caller], crowd.answered[caller]) for caller in list(Caller)[1:]}
    return Soak(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        commit=commit(ROOT),
        model=subject.model,
        bundle=subject.bundle,
        machine=subject.machine,
        plan=subject.plan,
        stopped_by=subject.stopped_by,
        seconds=clock.seconds,
        callers={caller.value: count for caller, count in counts.items()},
        left=crowd.left,
        dials=callers.loop.dials,
        resends=tally.resends,
        losses=sort_losses(callers.losses, drains, subject.plan.drain_seconds),
        compared=callers.compared,
        first_wrong=callers.first_wrong,
        p50_ms=percentile(latencies, 50) * 1e3 if latencies else 0.0,
        p99_ms=percentile(latencies, 99) * 1e3 if latencies else 0.0,
        max_ms=max(latencies, default=0.0) * 1e3,
        windows=windows(
            tally.answered_at,
            latencies,
            clock.start,
            clock.end,
            width=clock.seconds / max(1, min(WINDOWS, int(clock.seconds))),
        ),
        large_seconds=list(crowd.large_seconds),
        looks=[look.since(clock.start) for look in looks],
        servers=[_server(life, clock) for life in lives],
        rss_slope=slope_within(_grown(lives, looks, clock, "rss_mb")),
        descriptors_slope=slope_within(_grown(lives, looks, clock, "descriptors")),
        others_percent=subject.others_percent,
    )


def _server(life: Life, clock: Clock) -> ServerResult:
    def since_start(moment: float | None) -> float | None:
        return None if moment is None or moment > clock.end else moment - clock.start

    return ServerResult(
        number=life.number,
        start_seconds=life.start_seconds,
        ready_at=life.ready_at - clock.start,
        asked_at=since_start(life.asked_at),
        ended_at=since_start(life.ended_at),
        status=life.status,
        cut=life.cut,
        idle_rss_mb=life.idle_rss_mb,
        idle_descriptors=life.idle_descriptors,
        descriptors_left=life.descriptors_left,
    )


def _grown(lives: Sequence[Life], looks: Sequence[Look], clock: Clock, field: str) -> list[Points]:
    """What was seen of each server while it served alone, after its warm-up."""
    groups: list[Points] = []
    for life in lives:
        first = max(life.ready_at, clock.start) + WARM_UP_SECONDS
        last = min(clock.end, life.asked_at or clock.end)
        seen = [look for look in looks if look.server == life.number and first <= look.at <= last]
        groups.append(thin([(look.at, float(getattr(look, field))) for look in seen], POINT_SECONDS))
    return groups
