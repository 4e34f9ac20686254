"""Counts the requests of one worker. Belongs to the event loop's thread."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence

from runtime.metrics.layout import (
    BODIES_WAITING,
    CANCELLED,
    CONNECTIONS,
    FIRST_STATUS,
    GAUGES,
    IN_FLIGHT,
    OTHER_ROUTE,
    PROCESS,
    REFUSED,
    ROUTE_NUMBERS,
    ROUTES_START,
    SECONDS,
    STATUS_OFFSET,
    SUM,
)


class HttpFigures:
    """Requests by route and status, with their latency.

    ``row``: of this worker. Counters go on from what is in it, and gauges begin at 0.
    """

    def __init__(self, row: memoryview[float]) -> None:
        self._row = row
        for gauge in GAUGES:
            row[gauge.start] = 0
        row[PROCESS] = os.getpid()
        self.routes: tuple[str, ...] = (OTHER_ROUTE,)
        self._starts: dict[str, int] = {}

    def name_routes(self, paths: Sequence[str]) -> None:
        """Count these paths apart, the same and in the same order in all workers."""
        self.routes = (OTHER_ROUTE, *paths)
        if ROUTES_START + len(self.routes) * ROUTE_NUMBERS > len(self._row):
            raise ValueError(f"there is room for {(len(self._row) - ROUTES_START) // ROUTE_NUMBERS} routes")
        self._starts = {path: start_of(number) for number, path in enumerate(self.routes) if number}

    def in_flight(self, count: int) -> None:
        """So many requests are in progress."""
        self._row[IN_FLIGHT.start] = count

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request has its answer; ``seconds``: since its head was there. ``status`` 0: its client has left."""
        # PERF: once a request, on the thread that has the least time to spare; so nothing is called that need not be.
        row = self._row
        if not status:
            row[CANCELLED.start] += 1
            return
        start = self._starts.get(path) or self._start(path)
        row[start + STATUS_OFFSET + status - FIRST_STATUS] += 1
        row[start + bisect_left(SECONDS, seconds)] += 1
        row[start + SUM] += seconds

    def refused(self) -> None:
        """Something arrived that is no request."""
        self._row[REFUSED.start] += 1

    def sample(self, connections: int, bodies_waiting: int) -> None:
        """Numbers that are looked at now and then."""
        self._row[CONNECTIONS.start], self._row[BODIES_WAITING.start] = connections, bodies_waiting

    def _start(self, path: str) -> int:
        return self._starts.get(f"/{path.strip('/')}", start_of(0))


def start_of(number: int) -> int:
    """Where the figures of a route begin."""
    return ROUTES_START + number * ROUTE_NUMBERS
