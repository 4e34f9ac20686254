"""Knows all connections of a server: which are idle, how many requests are in progress, when the last one came."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from typing import Protocol

from runtime.api.auth import OPEN_PREFIX
from runtime.http.exchange import Exchange

CHECKED_TOGETHER = 32
"""So many connections are looked at before others get a turn."""


class Closable(Protocol):
    """A connection, as far as the registry needs it."""

    accepted_at: float
    has_sent_request: bool

    def check(self, now: float) -> None:
        """Act on a deadline that is over."""

    def postpone(self, seconds: float) -> None:
        """Add time to its deadline."""

    def close(self) -> None:
        """End it at once."""


class Connections:
    """Implements ``connection.Registry``. Belongs to the event loop's thread."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._all: set[Closable] = set()
        # In the order in which they became idle.
        self._idle: dict[Closable, float] = {}
        self.is_draining = False
        self.requests = 0
        """In progress, probes left out."""
        self.last_request_at = float("-inf")
        """When a request came or ended, probes left out, by the event loop's clock."""

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Closable) -> None:
        self._all.add(connection)

    def remove(self, connection: Closable) -> None:
        self._all.discard(connection)
        self._idle.pop(connection, None)

    def idle(self, connection: Closable) -> None:
        self._idle[connection] = self._loop.time()

    def busy(self, connection: Closable) -> None:
        self._idle.pop(connection, None)

    def began(self, exchange: Exchange) -> None:
        if not _is_probe(exchange):
            self.requests += 1
            self.last_request_at = self._loop.time()

    def ended(self, exchange: Exchange) -> None:
        if not _is_probe(exchange):
            self.requests -= 1
            self.last_request_at = self._loop.time()

    async def check(self) -> None:
        """Look at the deadlines of all connections, with a turn for all others in between.

        Thousands of requests that arrived together may expire together, and each takes up to a millisecond to answer.
        """
        now = self._loop.time()
        for number, connection in enumerate(tuple(self._all), start=1):
            connection.check(now)
            if number % CHECKED_TOGETHER == 0:
                await asyncio.sleep(0)

    def postpone(self, seconds: float) -> None:
        """Add time to the deadlines of all connections."""
        for connection in self._all:
            connection.postpone(seconds)

    def close_oldest_idle(self, seconds: float) -> bool:
        """End the connection that has been idle longest, if for at least ``seconds``; return whether there was one."""
        for connection, since in self._idle.items():
            if self._loop.time() - since >= seconds:
                self.remove(connection)
                connection.close()
                return True
            break
        return False

    def awaits_first_request(self, seconds: float) -> bool:
        """Whether a connection that was made in the last ``seconds`` has not sent a request yet."""
        since = self._loop.time() - seconds
        return any(not connection.has_sent_request and connection.accepted_at > since for connection in self._all)

    def close_all(self) -> int:
        """End all connections, and return how many requests that cuts, probes left out."""
        cut = self.requests
        for connection in tuple(self._all):
            connection.close()
        return cut


def _is_probe(exchange: Exchange) -> bool:
    return exchange.path.startswith(OPEN_PREFIX)
