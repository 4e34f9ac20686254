"""The loads that every system is put under."""

from __future__ import annotations

from dataclasses import dataclass

from bench.server.texts import LONG, SHORT, Length

MAX_WORDS_PER_SECOND = 250_000
"""No system here is nearly that fast. It bounds the number of texts that are prepared."""


@dataclass(frozen=True)
class Load:
    """Keep-alive connections with one request in flight on each, as Weaviate's client has them."""

    length: Length
    connections: int

    @property
    def name(self) -> str:
        return f"{self.length.name}-{self.connections}"

    def __str__(self) -> str:
        return f"{self.length}, {self.connections} connection{'s' if self.connections > 1 else ''}"

    def max_requests(self, seconds: float) -> int:
        """The number of requests to prepare for that time. A faster system would end the load sooner."""
        return max(1, round(seconds * MAX_WORDS_PER_SECOND / self.length.high))


LOADS = tuple(Load(length, connections) for length in (SHORT, LONG) for connections in (1, 8, 32))


def load_named(name: str) -> Load:
    """Raises ``KeyError``."""
    return {load.name: load for load in LOADS}[name]
