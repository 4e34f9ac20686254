"""Decides what happens when: how long the soak lasts, when servers are replaced, when a megabyte may begin."""

from __future__ import annotations

from dataclasses import dataclass

FOLLOW_SECONDS = 2.0
"""For so long callers still go to a server that is to end: a Kubernetes service hears of it late."""

DRAIN_SECONDS = 8
"""The server's default."""

START_SECONDS = 7.0
"""What a replacement takes before the old server drains, on a machine that is not busy with anything else."""

WARM_UP_SECONDS = 30.0
"""The slope of growth is that from then on: before, a server takes the memory that its requests need at all."""


@dataclass(frozen=True)
class Plan:
    """Times are in seconds from the beginning of the load."""

    seconds: float
    restart_seconds: float
    """So long after one replacement begins the next one does."""
    in_flight: int
    """Callers in Weaviate's pattern."""
    leavers: int
    """Callers that leave before their answer."""
    slow: int
    """Half of them send slowly, half read slowly."""
    max_requests: int
    """Weaviate's callers send no more than that."""
    drain_seconds: int = DRAIN_SECONDS
    """``DRAIN_SECONDS`` of each server."""
    seed: str = "soak"

    @property
    def restarts(self) -> tuple[float, ...]:
        """When replacements begin. The last one is over before the end."""
        count = int(max(0.0, self.seconds - START_SECONDS - self.drain_seconds) / self.restart_seconds)
        return tuple(self.restart_seconds * (number + 1) for number in range(count))

    def next_break(self, now: float) -> float:
        """When the next replacement begins, or the end."""
        return next((at for at in self.restarts if at > now), self.seconds)

    def may_begin(self, now: float, takes: float) -> bool:
        """Whether something that takes so long, begun ``now``, is over before the next break."""
        return now + takes <= self.next_break(now)
