"""Puts one server under one load: one thread, raw sockets, an order on standard input, figures on standard output.

It is a process of its own, ``python -m bench.server.load_generator``, so that it shares no interpreter lock with
anybody.
"""

from __future__ import annotations

import gc
import json
import selectors
import socket
import sys
import time
from dataclasses import asdict, dataclass

from bench.errors import LoadFailed
from bench.report.statistics import percentile
from bench.server.loads import Load, load_named
from bench.server.texts import make_texts
from bench.server.wire import check_answer, parse_answer, response_bytes, vectors_request

ANSWER_SECONDS = 50.0
"""Weaviate's client gives up after that."""

EXIT_FAILED = 1


@dataclass(frozen=True)
class Order:
    """Ends after ``seconds`` or when all prepared requests are sent. The same ``seed`` gives the same texts."""

    port: int
    load: str
    seconds: float
    dim: int
    seed: str


@dataclass(frozen=True)
class Figures:
    """``requests`` were completed in the ``seconds`` measured; ``answers`` also counts those before and after."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    answers: int

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True)
class Request:
    text: bytes
    wire: bytes

    @classmethod
    def of(cls, text: str, port: int) -> Request:
        return cls(text.encode(), vectors_request(text, port))


class Connection:
    """One keep-alive connection with at most one request in flight."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.request = Request(b"", b"")
        self._received = bytearray()
        self._expected: int | None = None

    def send(self, request: Request) -> None:
        self.request = request
        self.sent_at = time.perf_counter()
        self.socket.sendall(request.wire)

    def receive(self) -> bytearray | None:
        """Read what is there; the response once it is complete. Raises ``LoadFailed``."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise LoadFailed("the server closed a connection")
        self._received += data
        if self._expected is None:
            self._expected = response_bytes(self._received)
        if self._expected is None or len(self._received) < self._expected:
            return None
        if len(self._received) > self._expected:
            raise LoadFailed("the server sent more than the answer")
        response, self._received, self._expected = self._received, bytearray(), None
        return response


def run_load(order: Order) -> Figures:
    """Prepare the texts, greet the server with one checked request a connection, then load it.

    Raises ``LoadFailed`` at the first wrong answer, closed connection or silence.
    """
    load = load_named(order.load)
    requests = prepare_requests(order, load)
    connections: list[Connection] = []
    try:
        for _ in range(load.connections):
            connections.append(Connection(order.port))
        with selectors.DefaultSelector() as selector:
            for connection in connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            _greet(selector, connections, requests, order.dim)
            return _measure(selector, connections, requests, order)
    except OSError as error:
        raise LoadFailed(f"the connection failed: {error}") from None
    finally:
        for connection in connections:
            connection.socket.close()


def prepare_requests(order: Order, load: Load) -> list[Request]:
    """In reverse: the next one to send is the last of the list."""
    texts = make_texts(load.length, load.connections + load.max_requests(order.seconds), order.seed)
    return [Request.of(text, order.port) for text in reversed(texts)]


def _greet(selector: selectors.BaseSelector, connections: list[Connection], requests: list[Request], dim: int) -> None:
    for connection in connections:
        connection.send(requests.pop())
    missing = len(connections)
    while missing:
        for connection in _readable(selector):
            if response := connection.receive():
                check_answer(response, connection.request.text, dim)
                parse_answer(response, connection.request.text.decode())
                missing -= 1


def _measure(
    selector: selectors.BaseSelector, connections: list[Connection], requests: list[Request], order: Order
) -> Figures:
    """Answers that come after the time is up count for the latencies, which would else miss the slowest ones."""
    latencies: list[float] = []
    in_time = 0
    last = 0.0
    gc.disable()
    try:
        start = time.perf_counter()
        deadline = start + order.seconds
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
                # PERF: checked after the next request is on its way, so that the check keeps no connection idle.
                check_answer(response, answered.text, order.dim)
    finally:
        gc.enable()
    return Figures(
        requests=in_time,
        seconds=last - start if in_time and not requests else order.seconds,
        p50_ms=percentile(latencies, 50) * 1e3,
        p99_ms=percentile(latencies, 99) * 1e3,
        max_ms=max(latencies) * 1e3,
        answers=len(latencies) + len(connections),
    )


def _readable(selector: selectors.BaseSelector) -> list[Connection]:
    ready = selector.select(ANSWER_SECONDS)
    if not ready:
        raise LoadFailed(f"no answer within {ANSWER_SECONDS:g} seconds")
    return [key.data for key, _ in ready]


def main() -> int:
    order = Order(**json.load(sys.stdin))
    try:
        figures = run_load(order)
    except LoadFailed as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    json.dump(asdict(figures), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
