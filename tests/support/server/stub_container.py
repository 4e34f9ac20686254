"""Plays an embedding container over real sockets: it answers as a test requests, wrongly, slowly, or not at all."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Seen:
    """The requests that reached a server, and the number of connections."""

    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    """PERF: a kernel drops what does not fit, and the client tries again after 1, 3, 7 and 15 seconds."""

    def __init__(self, port: int, reply: Reply) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.reply, self.seen = reply, Seen()
        self._lock = threading.Lock()

    def note(self, request: Handler) -> int:
        """Keep the request, and return its number."""
        with self._lock:
            self.seen.paths.append(request.path)
            self.seen.headers.append(dict(request.headers))
            self.seen.bodies.append(request.body)
            return len(self.seen.bodies) - 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print a traceback, unless the client has closed the connection, as clients in tests do."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection; ``body`` is that of the request which is answered now."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    body = b""
    server: Server

    def setup(self) -> None:
        self.server.seen.connections += 1
        super().setup()

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        announced = int(self.headers.get("Content-Length", "0"))
        self.body = self.rfile.read(announced)
        if len(self.body) < announced or (self.command == "POST" and not announced):  # the client has gone
            self.close_connection = True
            return
        self.server.reply(self, self.server.note(self))

    def log_message(self, format: str, *args: Any) -> None:
        pass


Reply = Callable[[Handler, int], None]
"""A reply answers a request, by its number from 0."""


@contextmanager
def serving(reply: Reply, port: int = 0) -> Iterator[tuple[str, Seen]]:
    """A server on a port, 0 for a free one: its address, and what it saw."""
    server = Server(port, reply)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def always(status: int, body: bytes) -> Reply:
    return lambda handler, number: send(handler, status, body)


def vector_of(*components: float) -> bytes:
    return json.dumps({"text": "as sent", "vector": components, "dim": len(components)}).encode()


def scoring(score: Callable[[str], float]) -> Reply:
    """Answers as Weaviate's reranker does, with the score of each document."""

    def reply(handler: Handler, number: int) -> None:
        body = json.loads(handler.body)
        scores = [{"document": document, "score": score(document)} for document in body["documents"]]
        answer = {"query": body["query"], "scores": scores, "property": None, "score": None}
        send(handler, 200, json.dumps(answer).encode())

    return reply
