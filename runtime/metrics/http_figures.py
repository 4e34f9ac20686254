"""Counts the requests of one worker. Belongs to the event loop's thread."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Sequence

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
    STATUS_OFFSET,
    observe_all,
)


class HttpFigures:
    """Requests by route and status, with their latency. Shown to other processes when they are published.

    ``row``: of this worker. Counters go on from what is in it, and gauges begin at 0.
    """

    def __init__(self, row: memoryview[float]) -> None:
        self._row = row
        for gauge in GAUGES:
            row[gauge.start] = 0
        row[PROCESS] = os.getpid()
        self.requests = 0
        """In progress, probes left out. Whoever counts them sets it."""
        self._others: list[Callable[[], object]] = []
        self.name_routes(())

    def name_routes(self, paths: Sequence[str]) -> None:
        """Count these paths apart, the same and in the same order in all workers."""
        self.routes = (OTHER_ROUTE, *paths)
        if ROUTES_START + len(self.routes) * ROUTE_NUMBERS > len(self._row):
            raise ValueError(f"there is room for {(len(self._row) - ROUTES_START) // ROUTE_NUMBERS} routes")
        self._all = [_Route(self._row[start_of(number) : start_of(number + 1)]) for number in range(len(self.routes))]
        self._routes = dict(zip(paths, self._all[1:], strict=True))

    def publish_also(self, publish: Callable[[], object]) -> None:
        """Publish other figures with these."""
        self._others.append(publish)

    def publish(self, scrapes: int = 0) -> None:
        """Show all that was counted. So many requests in progress are ``scrapes``, which are left out."""
        for route in self._all:
            route.publish()
        self._row[IN_FLIGHT.start] = self.requests - scrapes
        for publish in self._others:
            publish()

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request has its answer; ``seconds``: since its head was there. ``status`` 0: its client has left."""
        # PERF: once a request, on the thread that has the least time to spare. So times are only noted here, and
        # counted together when they are published.
        if not status:
            self._row[CANCELLED.start] += 1
            return
        route = self._routes.get(path) or self._route(path)
        try:
            route.seconds[status].append(seconds)
        except KeyError:
            route.seconds[status] = [seconds]

    def refused(self) -> None:
        """Something arrived that is no request."""
        self._row[REFUSED.start] += 1

    def sample(self, connections: int, bodies_waiting: int) -> None:
        """Numbers that are looked at now and then."""
        self._row[CONNECTIONS.start], self._row[BODIES_WAITING.start] = connections, bodies_waiting

    def _route(self, path: str) -> _Route:
        return self._routes.get(f"/{path.strip('/')}", self._all[0])


class _Route:
    """The figures of a route, and the part of the row where they are shown."""

    __slots__ = ("_numbers", "_row", "seconds")

    def __init__(self, row: memoryview[float]) -> None:
        self._row, self._numbers = row, list(row)
        self.seconds: dict[int, list[float]] = {}
        """What each request took since they were published, by status."""

    def publish(self) -> None:
        has_changed = False
        for status, seconds in self.seconds.items():
            if seconds:
                has_changed = True
                self._numbers[STATUS_OFFSET - FIRST_STATUS + status] += len(seconds)
                observe_all(self._numbers, 0, seconds)
                seconds.clear()
        if has_changed:
            self._row[:] = memoryview(array("d", self._numbers))


def start_of(number: int) -> int:
    """Where the figures of a route begin."""
    return ROUTES_START + number * ROUTE_NUMBERS
