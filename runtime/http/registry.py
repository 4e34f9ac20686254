"""Knows all connections of a server: which are idle, how many requests are in progress, when the last one came."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio import AbstractEventLoop
from typing import Protocol

from runtime.api.paths import OPEN_PREFIX
from runtime.http.exchange import Exchange
from runtime.http.request_log import RequestLog
from runtime.http.scoreboard import Scoreboard, Seat
from runtime.http.turns import Stage

CHECKED_TOGETHER = 32
"""So many connections are looked at before others get a turn."""


PUBLISH_SECONDS = 0.1
"""Figures are shown to other workers so long after the first request that they do not have yet."""


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

    def __init__(self, loop: AbstractEventLoop, seat: Seat | None = None, limit: int = sys.maxsize) -> None:
        """``seat``: of the worker among others, which are told how busy it is; None: there are no others.

        ``limit``: from so many connections on, others go first.
        """
        self._loop, self._limit = loop, limit
        self._seat = seat if seat is not None else Scoreboard(1).seat(0)
        self._figures = self._seat.figures
        self._log = RequestLog() if RequestLog.is_on() else None
        self._is_paused = self._will_publish = False
        self._expected: set[object] = set()
        self._all: set[Closable] = set()
        # Those whose first request is to be expected.
        self._new: set[Closable] = set()
        # In the order in which they became idle.
        self._idle: dict[Closable, float] = {}
        self.is_draining = False
        self.requests = 0
        """In progress, probes left out."""
        self.last_request_at = float("-inf")
        """When a request came or ended, probes left out, by the event loop's clock."""

    def __len__(self) -> int:
        return len(self._all) + len(self._expected)

    def drain(self) -> None:
        """Let every answer close its connection from now on, and other workers go first."""
        self.is_draining = True
        self._seat.enter(Stage.DRAINING)

    def pause(self, is_paused: bool) -> None:
        """Tell the other workers whether this one can accept at all."""
        self._is_paused = is_paused
        self.publish()

    def expect(self, connection: object) -> None:
        """It was accepted, and will be added soon. It counts already."""
        self._expected.add(connection)
        self.publish()

    def forget(self, connection: object) -> None:
        """It need not be expected any more."""
        if connection in self._expected:
            self._expected.discard(connection)
            self.publish()

    def add(self, connection: Closable) -> None:
        self._expected.discard(connection)
        self._all.add(connection)
        self._new.add(connection)
        self.publish()

    def remove(self, connection: Closable) -> None:
        self._all.discard(connection)
        self._new.discard(connection)
        self._idle.pop(connection, None)
        self.publish()

    def idle(self, connection: Closable) -> None:
        self._idle[connection] = self._loop.time()

    def busy(self, connection: Closable) -> None:
        self._idle.pop(connection, None)
        if connection in self._new:
            self._new.discard(connection)
            self.publish()

    def began(self, exchange: Exchange) -> None:
        # NOTE: the event loop's clock stands still between two of its rounds.
        exchange.began_at = time.monotonic()
        if not _is_probe(exchange):
            self.requests += 1
            self._figures.requests = self.requests
            self.last_request_at = self._loop.time()
            self.publish()

    def ended(self, exchange: Exchange) -> None:
        seconds = time.monotonic() - exchange.began_at
        self._figures.answered(exchange.path, exchange.status, seconds)
        if not self._will_publish:
            self._will_publish = True
            self._loop.call_later(PUBLISH_SECONDS, self._publish)
        if self._log is not None:
            self._log.ended(exchange, seconds)
        if not _is_probe(exchange):
            self.requests -= 1
            self._figures.requests = self.requests
            self.last_request_at = self._loop.time()
            self.publish()

    def _publish(self) -> None:
        self._will_publish = False
        self._figures.publish()

    def refused(self) -> None:
        self._figures.refused()

    def sample(self, bodies_waiting: int) -> None:
        """Show what is looked at now and then."""
        self._figures.sample(len(self), bodies_waiting)
        self._figures.publish()

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

    def publish(self) -> None:
        """Tell the other workers how busy this one is. A new connection counts as the request that it is made for."""
        if self._seat.workers == 1:
            return  # PERF: nobody looks
        expected = len(self._expected)
        count = len(self._all) + expected
        stage = Stage.PAUSED if self._is_paused else Stage.FULL if count >= self._limit else Stage.READY
        self._seat.publish(self.requests + len(self._new) + expected, count, stage)

    def close_all(self) -> int:
        """End all connections, and return how many requests that cuts, probes left out."""
        cut = self.requests
        for connection in tuple(self._all):
            connection.close()
        return cut


def _is_probe(exchange: Exchange) -> bool:
    return exchange.path.startswith(OPEN_PREFIX)
