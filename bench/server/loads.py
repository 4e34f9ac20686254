"""Lists the loads that every system is put under."""

from __future__ import annotations

from dataclasses import dataclass

from bench.server.texts import LONG, SHORT, Length

WORDS_PER_SECOND_AT_MOST = 250_000
"""Far beyond any system here: bounds the number of texts that are made beforehand."""


@dataclass(frozen=True)
class Load:
    """``connections`` keep-alive connections, each with one request in flight at a time, as Weaviate's client has."""

    length: Length
    connections: int

    @property
    def name(self) -> str:
        return f"{self.length.name}-{self.connections}"

    def __str__(self) -> str:
        return f"{self.length}, {self.connections} connection{'s' if self.connections > 1 else ''}"

    def max_requests(self, seconds: float) -> int:
        """How many requests are prepared for that time; a system that answers them sooner ends the load sooner."""
        return max(1, round(seconds * WORDS_PER_SECOND_AT_MOST / self.length.high))


LOADS = tuple(Load(length, connections) for length in (SHORT, LONG) for connections in (1, 8, 32))


def load_named(name: str) -> Load:
    """Raises ``KeyError``."""
    return {load.name: load for load in LOADS}[name]
