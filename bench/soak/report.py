"""Renders the figures of a soak as Markdown tables."""

from __future__ import annotations

from collections.abc import Callable

from bench.report.machine import disturbance
from bench.report.slopes import Slope
from bench.report.statistics import median
from bench.report.tables import table
from bench.soak.callers.crowd import Caller
from bench.soak.observer import Look
from bench.soak.plan import WARM_UP_SECONDS
from bench.soak.results import ServerResult, Soak
from bench.soak.verdict import MAX_DESCRIPTORS_PER_HOUR, MAX_RSS_MB_PER_HOUR, faults

NOTHING = "–"
AT_THE_END_SECONDS = 10.0
"""A server's level at the end is the median of so many seconds."""


def render(soak: Soak) -> str:
    found = faults(soak)
    verdict = "\n".join(f"FAILED: {fault}" for fault in found) or "passed: nothing lost, nothing wrong, no growth"
    return "\n\n".join((_heading(soak), figures_table(soak), servers_table(soak), _notes(soak), verdict))


def figures_table(soak: Soak) -> str:
    losses = soak.losses
    lost = sum(losses.lost.values())
    rows = [
        ("answered, of requests in Weaviate's pattern", _answered(soak, Caller.WEAVIATE)),
        ("… a second (goodput)", f"{soak.goodput:.1f}"),
        ("… p50, p99, the longest", f"{_s(soak.p50_ms)}, {_s(soak.p99_ms)}, {_s(soak.max_ms)}"),
        ("answered, of texts of 1 MB, in a median of", f"{_answered(soak, Caller.LARGE)}, {_median(soak)}"),
        ("answered, of requests sent slowly", _answered(soak, Caller.SENDER)),
        ("answered, of answers read slowly", _answered(soak, Caller.READER)),
        ("left by their callers", f"{soak.left:,}"),
        ("lost", f"{lost:,}"),
        (f"cut after `DRAIN_SECONDS` ({soak.plan.drain_seconds})", f"{losses.cut:,}"),
        ("wrong, of answers that were compared", f"{losses.wrong:,} of {soak.compared:,}"),
        ("growth of resident memory, MB an hour", _slope(soak.rss_slope, MAX_RSS_MB_PER_HOUR)),
        ("growth of file descriptors, an hour", _slope(soak.descriptors_slope, MAX_DESCRIPTORS_PER_HOUR)),
        ("file descriptors before the load, and after it", _descriptors(soak)),
    ]
    return table(("all servers", f"{soak.seconds:.0f} s"), rows, left=1)


SERVER_COLUMNS: tuple[tuple[str, Callable[[Soak, ServerResult], str]], ...] = (
    ("server", lambda _, server: str(server.number)),
    ("served, s", lambda soak, server: f"{max(0.0, server.ready_at):.0f}–{server.asked_at or soak.seconds:.0f}"),
    ("ready after, s", lambda _, server: f"{server.start_seconds:.2f}"),
    ("drained in, s", lambda _, server: _difference(server.asked_at, server.ended_at)),
    ("RSS MB idle", lambda _, server: f"{server.idle_rss_mb:.0f}"),
    (f"after {WARM_UP_SECONDS:g} s", lambda soak, server: _level(soak, server, _warm(server), "rss_mb")),
    ("at the end", lambda soak, server: _level(soak, server, _end(soak, server), "rss_mb")),
    ("highest", lambda soak, server: _most(soak, server, "rss_mb")),
    ("descriptors idle", lambda _, server: str(server.idle_descriptors)),
    ("highest", lambda soak, server: _most(soak, server, "descriptors")),
    ("cut", lambda _, server: str(server.cut)),
)
"""Each column has a title, and what it says of a server."""


def servers_table(soak: Soak) -> str:
    rows = [[cell(soak, server) for _, cell in SERVER_COLUMNS] for server in soak.servers]
    return table([title for title, _ in SERVER_COLUMNS], rows, left=1)


def _heading(soak: Soak) -> str:
    plan = soak.plan
    stopped = f"; stopped by {soak.stopped_by}" if soak.stopped_by else ""
    callers = f"{plan.in_flight} in flight as Weaviate has them, one caller with 1 MB, {plan.leavers} that leave"
    return "\n".join(
        (
            f"{soak.model}, {soak.date}, commit {soak.commit}  ",
            f"{soak.machine}  ",
            f"{soak.seconds:.0f} s, a replacement every {plan.restart_seconds:g} s{stopped}  ",
            f"{callers}, {plan.slow} that are slow",
        )
    )


def _notes(soak: Soak) -> str:
    notes = [f"{soak.dials:,} connections dialed; requests sent again because a kept one had broken: {soak.resends}"]
    notes += [f"lost {reason}: {count}" for reason, count in sorted(soak.losses.lost.items())]
    notes.append(disturbance(soak.others_percent))
    return "\n".join(notes)


def _answered(soak: Soak, caller: Caller) -> str:
    count = soak.callers[caller]
    return f"{count.answered:,} of {count.sent:,}"


def _s(milliseconds: float) -> str:
    return f"{milliseconds / 1e3:.2f} s"


def _median(soak: Soak) -> str:
    return f"{median(soak.large_seconds):.0f} s" if soak.large_seconds else NOTHING


def _slope(slope: Slope | None, most: float) -> str:
    if slope is None:
        return NOTHING
    return f"{slope.per_hour:+,.0f} ({slope.low:+,.0f} to {slope.high:+,.0f}; bound {most:+,.0f})"


def _descriptors(soak: Soak) -> str:
    last = soak.servers[-1]
    return f"{last.idle_descriptors}, {NOTHING if last.descriptors_left is None else last.descriptors_left}"


def _difference(earlier: float | None, later: float | None) -> str:
    return NOTHING if earlier is None or later is None else f"{later - earlier:.1f}"


def _warm(server: ServerResult) -> tuple[float, float]:
    warm = max(0.0, server.ready_at) + WARM_UP_SECONDS
    return warm, warm + AT_THE_END_SECONDS


def _end(soak: Soak, server: ServerResult) -> tuple[float, float]:
    end = server.asked_at or soak.seconds
    return end - AT_THE_END_SECONDS, end


def _level(soak: Soak, server: ServerResult, span: tuple[float, float], field: str) -> str:
    """The median of what was seen in that time."""
    seen = [_value(look, field) for look in soak.looks_at(server.number) if span[0] <= look.at <= span[1]]
    return f"{median(seen):.0f}" if seen else NOTHING


def _most(soak: Soak, server: ServerResult, field: str) -> str:
    return f"{max((_value(look, field) for look in soak.looks_at(server.number)), default=0):.0f}"


def _value(look: Look, field: str) -> float:
    return float(getattr(look, field))
