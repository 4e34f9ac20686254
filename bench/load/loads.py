"""The loads that systems are put under, and what the load generator is told and tells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bench.load.modules import Module
from bench.load.texts import Length

MAX_WORDS_PER_SECOND = 250_000
"""No system with a network is nearly that fast. It bounds the number of texts that are made for a load."""

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
    BATCHES = "batches"
    """Many texts in a request, beside one text in each, over connections that are kept."""

    @property
    def about(self) -> str:
        return {
            Group.KEPT: "connections that are kept, with one request in flight on each",
            Group.SLOW: "the same, beside 1,000 slow clients and dropped connections",
            Group.WEAVIATE: "connections as Weaviate has them, most of them dialed anew",
            Group.OVERLOAD: "the same, with more in flight than can be answered in time",
            Group.RESTART: "the same, and the server is restarted in the middle",
            Group.BATCHES: "1, 32 and 512 texts in a request to /v1/embeddings, over connections that are kept",
        }[self]


@dataclass(frozen=True)
class Load:
    """Requests whose texts have one length, always so many of them in flight."""

    length: Length
    in_flight: int
    group: Group = Group.KEPT
    times: float = 1
    """It lasts so many times as long as the settings say: the more wait, the later the first is answered."""
    max_words_per_second: int = MAX_WORDS_PER_SECOND
    """The load ends sooner where a system is faster than that."""
    module: Module = Module.TEXT2VEC_TRANSFORMERS
    """Whose requests are sent."""
    requests: int | None = None
    """The load ends sooner once so many are sent; None: so many that ``max_words_per_second`` is reached."""
    texts: int = 1
    """So many has a request."""

    @property
    def name(self) -> str:
        if self.group is Group.BATCHES:
            return f"{self.group}-{self.module}-{self.texts}-{self.in_flight}"
        name = f"{self.length.name}-{self.in_flight}"
        return name if self.group is Group.KEPT else f"{self.group}-{name}"

    @property
    def counts_losses(self) -> bool:
        """Whether a loss is counted, and does not end the measurement."""
        return self.group not in (Group.KEPT, Group.SLOW, Group.BATCHES)

    def __str__(self) -> str:
        if self.group is Group.BATCHES:
            many = f"{self.texts} texts" if self.texts > 1 else "1 text"
            return f"{self.module.label}, {many} a request, {self.in_flight} connections"
        if not self.counts_losses:
            beside = f", {SLOW_CLIENTS:,} slow clients" if self.group is Group.SLOW else ""
            return f"{self.length}, {self.in_flight} connection{'s' if self.in_flight > 1 else ''}{beside}"
        return f"{self.length}, {self.in_flight:,} in flight{', a restart' if self.group is Group.RESTART else ''}"

    def max_requests(self, seconds: float) -> int:
        """The number of requests to send in that time. A faster system would end the load sooner."""
        words = self.length.high * self.texts
        count = self.requests or max(1, round(seconds * self.max_words_per_second / words))
        return self.in_flight + count if self.counts_losses else count


def loads_in(loads: Collection[Load], groups: Collection[Group]) -> tuple[Load, ...]:
    """Those of these groups, in the order of ``loads``."""
    return tuple(load for load in loads if load.group in groups)


@dataclass(frozen=True)
class LoadSpec:
    """What to send, where, and for how long. The same ``seed`` gives the same texts."""

    port: int
    load: Load
    seconds: float
    """The load ends after that time."""
    requests: int
    """The load ends sooner once so many requests are sent."""
    numbers: int
    """How many numbers each answer must have: the components of a vector, or a score for each document."""
    seed: str

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> LoadSpec:
        """From what ``asdict`` made of one."""
        load = fields["load"]
        length, group, module = Length(**load["length"]), Group(load["group"]), Module(load["module"])
        return cls(**{**fields, "load": Load(**{**load, "length": length, "group": group, "module": module})})


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
    """CPU time of the load generator during the load."""
    lost: dict[str, int] = field(default_factory=dict)
    """How many requests were given up, by reason."""
    silence_seconds: float = 0.0
    """The longest time within ``seconds`` in which no answer came; 0 where that was not observed."""

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds
