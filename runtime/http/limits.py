"""How long a client may take for each step, and how much of memory its requests may have."""

from __future__ import annotations

from dataclasses import dataclass, field

TINY_BODY = 4 * 1024
"""Bodies up to this many bytes, as most requests have, take no turns: their connections' memory is enough for them."""

SMALL_BODY = 64 * 1024
"""Bodies up to this many bytes are read ahead of all larger ones."""

SMALL_ANSWER = 64 * 1024
"""Answers up to this many bytes take no turns."""

BYTES_PER_BODY_BYTE = 5
"""A body and its text, of which a character takes up to 4 bytes as soon as one of them is an emoji."""


@dataclass(frozen=True)
class Deadlines:
    """Seconds. Each begins when it is the client's turn to do something."""

    head: float = 20.0
    """From the first byte of a head to its last; on a new connection, from the beginning."""
    body: float = 30.0
    """From the moment at which the server reads the body. Below the 50 s after which Weaviate gives up."""
    stall: float = 5.0
    """Without a byte of the body, while others wait for the memory that is kept for it."""
    keep_alive: float = 120.0
    """Between two requests. Longer than the 90 s for which Weaviate's client keeps an idle connection."""
    write: float = 30.0
    """Without a byte of the answer taken."""
    close: float = 2.0
    """For a client that still sends a body which is not read any more."""
    request: float | None = 60.0
    """From the head of a request until it is begun; None: without end."""
    age: float = 60.0
    """Of a connection, on average: after that time, an answer closes it. Infinite: never."""
    check: float = 0.5
    """Between two looks at the deadlines of all connections."""


BYTES_PER_CONNECTION = 24 * 1024
"""A connection whose request waits: the kernel's buffer, what was read ahead, and the objects around it; or a tiny body
and its text."""


SPARE_CONNECTIONS = 16
"""So many connections beyond the limit are taken for one answer each, so that probes get through."""


@dataclass(frozen=True)
class Draining:
    """Seconds."""

    linger: float = 1.0
    """Without a request and a new connection, after which the server ends."""
    longest: float = 8.0
    """After which it ends in any case; below the 10 s after which `docker stop` kills."""


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    max_head: int = 32 * 1024
    max_body: int = 1 << 20
    small_bodies: int = 32 << 20
    """For all bodies up to ``SMALL_BODY`` and their texts together."""
    large_bodies: int = 64 << 20
    """For all larger ones."""
    answers: int = 32 << 20
    """For all answers of more than ``SMALL_ANSWER``, until their clients have taken them."""
    receive_buffer: int = 4 * 1024
    """What the kernel may keep of a connection whose body is not being read; it doubles the number."""
    max_connections: int = 4096
    """How many connections there is memory for."""

    @classmethod
    def of(cls, total: int, max_body: int) -> Memory:
        """Shares of a container's memory, of which inference has one half, and the weights a part of the other.

        A body that would take more than a quarter of the total is never read: ``max_body`` is lowered.
        """
        return cls(
            max_body=min(max_body, total // least_total(1)),
            small_bodies=total // 16,
            large_bodies=total // 10,
            answers=total // 16,
            max_connections=total // 6 // BYTES_PER_CONNECTION,
        )


def least_total(max_body: int) -> int:
    """The memory from which on bodies of so many bytes are read: one takes a quarter of it, with its text."""
    return 4 * BYTES_PER_BODY_BYTE * max_body


@dataclass(frozen=True)
class HttpLimits:
    """All limits of the HTTP side."""

    deadlines: Deadlines = field(default_factory=Deadlines)
    memory: Memory = field(default_factory=Memory)
    draining: Draining = field(default_factory=Draining)
