"""A container over real sockets that answers as a test tells it to: well, badly, slowly, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Seen:
    """The requests that reached a server, and the number of connections."""

    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0


Reply = Callable[[BaseHTTPRequestHandler, int], None]


@contextmanager
def serving(reply: Reply) -> Iterator[tuple[str, Seen]]:
    """A server whose requests, numbered from 0, are answered by ``reply``: its address, and what it saw."""
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            seen.connections += 1
            super().setup()

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            seen.paths.append(self.path)
            seen.headers.append(dict(self.headers))
            seen.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            reply(self, len(seen.bodies) - 1)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
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
