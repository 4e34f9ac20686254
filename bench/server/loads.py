"""The loads that systems are put under, and what the load generator is told and tells."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from bench.server.texts import EIGHT_KB, LONG, SHORT, Length

MAX_WORDS_PER_SECOND = 250_000
"""No system here is nearly that fast. It bounds the number of texts that are sent."""

RATE_IN_FLIGHT = 8
"""With so many in flight, every core is busy and nothing waits for long: what a server can do."""


SLOW_CLIENTS = 1000
"""Half of them send heads, half bodies, byte by byte."""


class Group(StrEnum):
    """Loads that are chosen together."""

    KEPT = "kept"
    """Connections that are kept, with one request in flight on each. Any loss ends the measurement."""
    SLOW = "slow"
    """The same, beside ``SLOW_CLIENTS`` that take connections and hardly use them."""
    WEAVIATE = "weaviate"
    """Weaviate's pattern: most connections are dialed anew. Losses are counted."""
    OVERLOAD = "overload"
    """The same with more than a server can answer in the time that callers wait. Each takes minutes."""
    RESTART = "restart"
    """The same while the server is stopped, and its successor started at once on the same port."""

    @property
    def about(self) -> str:
        return {
            Group.KEPT: "connections that are kept: 1, 8, 32, with short and with long texts",
            Group.SLOW: "32 connections with short texts, beside 1,000 slow clients and dropped connections",
            Group.WEAVIATE: "connections as Weaviate has them: 1 to 3,200 in flight short, 1 to 160 of 8 kB",
            Group.OVERLOAD: "640 and 3,200 in flight of 8 kB: more than can be answered in time",
            Group.RESTART: "160 in flight, and the server is restarted in the middle",
        }[self]


DEFAULT_GROUPS = (Group.KEPT, Group.WEAVIATE, Group.RESTART)


@dataclass(frozen=True)
class Load:
    """Requests of one length, always so many of them in flight."""

    length: Length
    in_flight: int
    group: Group = Group.KEPT
    times: float = 1
    """It lasts so many times as long as the settings say: the more wait, the later the first is answered."""

    @property
    def name(self) -> str:
        name = f"{self.length.name}-{self.in_flight}"
        return name if self.group is Group.KEPT else f"{self.group}-{name}"

    @property
    def counts_losses(self) -> bool:
        """Whether a loss is counted, and does not end the measurement."""
        return self.group not in (Group.KEPT, Group.SLOW)

    def __str__(self) -> str:
        if not self.counts_losses:
            beside = f", {SLOW_CLIENTS:,} slow clients" if self.group is Group.SLOW else ""
            return f"{self.length}, {self.in_flight} connection{'s' if self.in_flight > 1 else ''}{beside}"
        return f"{self.length}, {self.in_flight:,} in flight{', a restart' if self.group is Group.RESTART else ''}"

    def max_requests(self, seconds: float) -> int:
        """The number of requests to send in that time. A faster system would end the load sooner."""
        count = max(1, round(seconds * MAX_WORDS_PER_SECOND / self.length.high))
        return self.in_flight + count if self.counts_losses else count


LOADS = (
    *(Load(length, count) for length in (SHORT, LONG) for count in (1, 8, 32)),
    Load(SHORT, 32, Group.SLOW, 2),
    *(
        Load(SHORT, count, Group.WEAVIATE, times)
        for count, times in ((1, 1), (8, 1), (32, 1), (160, 2), (640, 4), (3200, 6))
    ),
    *(Load(EIGHT_KB, count, Group.WEAVIATE, times) for count, times in ((1, 2), (8, 2), (32, 5), (160, 12))),
    *(Load(EIGHT_KB, count, Group.OVERLOAD, 25) for count in (640, 3200)),
    Load(SHORT, 160, Group.RESTART, 7),
)


def load_named(name: str) -> Load:
    """Raises ``KeyError``."""
    return {load.name: load for load in LOADS}[name]


def loads_in(groups: Collection[Group]) -> tuple[Load, ...]:
    """In the order of ``LOADS``."""
    return tuple(load for load in LOADS if load.group in groups)


@dataclass(frozen=True)
class LoadSpec:
    """What to send, where, and for how long. The same ``seed`` gives the same texts."""

    port: int
    load: str
    """The name of one of ``LOADS``."""
    seconds: float
    """The load ends after that time."""
    requests: int
    """The load ends sooner once so many requests are sent."""
    dim: int
    """The number of components that each vector must have."""
    seed: str


@dataclass(frozen=True)
class LoadResult:
    requests: int
    """How many requests were answered within ``seconds``."""
    seconds: float
    """The load's time; where losses are counted, the time until the last request was answered or lost."""
    p50_ms: float
    """Percentiles are over all answers, and 0 where there was none."""
    p99_ms: float
    max_ms: float
    answers: int
    """Counts the answers before and after the time that is measured as well."""
    dials: int
    """How many connections were opened."""
    resends: int = 0
    """How many requests were sent again because a kept connection had broken."""
    cpu_seconds: float = 0.0
    """CPU time of the load generator during the load; 0 over kept connections, where it is not observed."""
    lost: dict[str, int] = field(default_factory=dict)
    """How many requests were given up, by reason."""
    silence_seconds: float = 0.0
    """The longest time within ``seconds`` in which no answer came; 0 where that was not observed."""

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds
