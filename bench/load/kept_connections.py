"""Loads a server over connections that are kept, with one request in flight on each.

Nothing may be lost: the first wrong answer, closed connection or silence ends the measurement.
"""

from __future__ import annotations

import gc
import itertools
import selectors
import socket
import time

from bench.errors import LoadFailed
from bench.load.loads import LoadResult, LoadSpec
from bench.load.routes import Route
from bench.load.wire import ANSWER_SECONDS, Request, response_size
from bench.report.statistics import percentile


class Connection:
    """One keep-alive connection with at most one request in flight."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reset()

    def reset(self) -> None:
        """Nothing was sent yet."""
        self.sent_at = 0.0
        self.request = Request(b"", b"")
        self._received = bytearray()
        self._expected: int | None = None

    def send(self, request: Request) -> None:
        self.request = request
        self.sent_at = time.perf_counter()
        self.socket.sendall(request.wire)

    def receive(self) -> bytearray | None:
        """Read what has arrived, and return the response once it is complete. Raises ``LoadFailed``."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise LoadFailed("the server closed a connection")
        self._received += data
        if self._expected is None:
            self._expected = response_size(self._received)
        if self._expected is None or len(self._received) < self._expected:
            return None
        if len(self._received) > self._expected:
            raise LoadFailed("the server sent more than the answer")
        response, self._received, self._expected = self._received, bytearray(), None
        return response


def run_kept(spec: LoadSpec, route: Route) -> LoadResult:
    """Prepare the requests, send one request on each connection and check its answer thoroughly, then load the server.

    Raises ``LoadFailed`` at the first wrong answer, closed connection or silence.
    """
    count = spec.load.in_flight
    requests = prepare_requests(spec, route)
    connections: list[Connection] = []
    try:
        for _ in range(count):
            connections.append(Connection(spec.port))
        with selectors.DefaultSelector() as selector:
            for connection in connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            _warm_up(selector, connections, requests, route)
            return _measure(selector, connections, requests, spec, route)
    except OSError as error:
        raise LoadFailed(f"the connection failed: {error}") from None
    finally:
        for connection in connections:
            connection.socket.close()


def prepare_requests(spec: LoadSpec, route: Route) -> list[Request]:
    """In reverse order: the next request to send is the last of the list."""
    endless = route.requests(spec.load.length, spec.port, spec.seed)
    return list(itertools.islice(endless, spec.load.in_flight + spec.requests))[::-1]


def _warm_up(
    selector: selectors.BaseSelector, connections: list[Connection], requests: list[Request], route: Route
) -> None:
    for connection in connections:
        connection.send(requests.pop())
    missing = len(connections)
    while missing:
        for connection in _readable(selector):
            if response := connection.receive():
                route.check(response, connection.request)
                route.parse(response, connection.request)
                missing -= 1


def _measure(
    selector: selectors.BaseSelector,
    connections: list[Connection],
    requests: list[Request],
    spec: LoadSpec,
    route: Route,
) -> LoadResult:
    """Answers after the deadline count in the latencies, which would otherwise miss the slowest ones."""
    latencies: list[float] = []
    in_time = 0
    last = 0.0
    gc.disable()
    try:
        start, used = time.perf_counter(), time.process_time()
        deadline = start + spec.seconds
        in_flight = 0
        for connection in connections[: len(requests)]:
            connection.send(requests.pop())
            in_flight += 1
        while in_flight:
            for connection in _readable(selector):
                response = connection.receive()
                if response is None:
                    continue
                now = time.perf_counter()
                latencies.append(now - connection.sent_at)
                answered = connection.request
                if now <= deadline:
                    in_time, last = in_time + 1, now
                if now < deadline and requests:
                    connection.send(requests.pop())
                else:
                    in_flight -= 1
                # PERF: checked after the next request is sent, so that no connection is idle during the check.
                route.check(response, answered)
        used = time.process_time() - used
    finally:
        gc.enable()
    return LoadResult(
        requests=in_time,
        seconds=last - start if in_time and not requests else spec.seconds,
        p50_ms=percentile(latencies, 50) * 1e3,
        p99_ms=percentile(latencies, 99) * 1e3,
        max_ms=max(latencies) * 1e3,
        answers=len(latencies) + len(connections),
        dials=len(connections),
        cpu_seconds=used,
    )


def _readable(selector: selectors.BaseSelector) -> list[Connection]:
    ready = selector.select(ANSWER_SECONDS)
    if not ready:
        raise LoadFailed(f"no answer within {ANSWER_SECONDS:g} seconds")
    return [key.data for key, _ in ready]
