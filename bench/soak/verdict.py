"""The bounds: what a soak must not lose, and how much a server may grow. Pure functions."""

from __future__ import annotations

from bench.report.slopes import Slope
from bench.soak.results import INTERRUPTED, Soak

MAX_RSS_MB_PER_HOUR = 120.0
"""A server that kept the texts of its requests, 2.4 kB each, would exceed it from 14 answers a second on.

A slope exceeds a bound where its whole interval is above it.
"""

MAX_RSS_RISE_MB = 100.0
"""So much more than when it was ready a server may have at any time: for texts in progress, and for their callers."""

MAX_DESCRIPTORS_PER_HOUR = 600.0
"""10 a minute; connections come and go, so that the number varies by more than that."""

MAX_DESCRIPTORS_LEFT = 4
"""So many more than before the load a server may have once all callers have gone."""

CUT_STATUS = 3
"""The exit status of a server that cut requests off."""


def faults(soak: Soak) -> list[str]:
    """What is wrong, a line for each; empty where all bounds are kept."""
    found = [f"{count} lost {reason}" for reason, count in sorted(soak.losses.lost.items())]
    if soak.losses.wrong:
        found.append(f"{soak.losses.wrong} wrong answers, the first one: {soak.first_wrong}")
    if soak.stopped_by not in ("", INTERRUPTED):
        found.append(soak.stopped_by)
    if not soak.answers and not soak.stopped_by:
        found.append("nothing was answered")
    found += [
        f"server {server.number} ended with status {server.status}"
        for server in soak.servers
        if server.status is not None and server.status != (CUT_STATUS if server.cut else 0)
    ]
    found += _grown("resident memory", "MB", soak.rss_slope, MAX_RSS_MB_PER_HOUR)
    found += _grown("file descriptors", "", soak.descriptors_slope, MAX_DESCRIPTORS_PER_HOUR)
    for server in soak.servers:
        most = server.idle_rss_mb + MAX_RSS_RISE_MB
        if (highest := max((look.rss_mb for look in soak.looks_at(server.number)), default=0.0)) > most:
            found.append(f"server {server.number} must have at most {most:.0f} MB of memory, not {highest:.0f}")
    left = soak.servers[-1].descriptors_left if soak.servers else None
    if left is not None and left > (most := soak.servers[-1].idle_descriptors + MAX_DESCRIPTORS_LEFT):
        found.append(f"file descriptors after the load must be at most {most}, not {left}")
    return found


def _grown(name: str, unit: str, slope: Slope | None, most: float) -> list[str]:
    if slope is None or slope.low <= most:
        return []
    rate = f"{unit} an hour".strip()
    return [f"{name} must not grow by more than {most:g} {rate}, and grow by {slope.low:,.0f} at least"]
