"""Plays an embedding server without a model, with faults on request, in this process or in one of its own."""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.server.load_generator import LoadSpec
from bench.server.systems import Launch, System
from build.model.files import ModelFiles
from manifest import Source, SourceKind
from tests.support.paths import ROOT

DIM = 8
SOUND_ANSWERS = 9
"""So many requests are answered correctly before a fault shows."""

MODEL = ModelFiles("stub/model", Source(SourceKind.DIRECTORY, "sha256:0"), ROOT)


def stub_vector(text: str) -> list[float]:
    """Any vector that depends on the text."""
    return [math.sin(len(text) * (index + 1)) + 0.5 for index in range(DIM)]


def stub_vectors(directory: Path, texts: list[str]) -> NDArray[np.float32]:
    """What the original would return, if there were one: (texts, dim)."""
    return np.asarray([stub_vector(text) for text in texts], dtype=np.float32)


class StubHandler(BaseHTTPRequestHandler):
    """Answers as an embedding server does; ``fault`` makes all answers after the first few wrong in one way."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    lock = threading.Lock()
    fault = ""
    bodies: tuple[bytes, ...] = ()

    def do_GET(self) -> None:
        self._send(204, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            type(self).bodies += (body,)
            fault = self.fault if len(self.bodies) > SOUND_ANSWERS else ""
        text = json.loads(body)["text"]
        vector = stub_vector(text)
        if fault == "close":
            self.close_connection = True
            return
        if fault == "size":
            vector.append(1.0)
        if fault == "text":
            text = "another"
        answer = json.dumps({"text": text, "vector": vector, "dim": len(vector)}, separators=(",", ":"))
        self._send(500 if fault == "status" else 200, answer.encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class StubServer(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print a traceback, except where the client has closed the connection, as tests of faults do."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def serve(port: int) -> None:
    """Serve until the process is ended."""
    with StubServer(("127.0.0.1", port), StubHandler) as server:
        server.serve_forever()


@contextmanager
def running(fault: str = "") -> Iterator[tuple[int, type[StubHandler]]]:
    """A stub in this process: its port, and the class that collects the bodies of its requests."""
    handler = type("Handler", (StubHandler,), {"fault": fault})
    with StubServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1], handler
        finally:
            server.shutdown()
            thread.join()


def stub_system(name: str, command: list[str | Path] | None = None) -> System:
    """A row of the benchmark that is a stub in a process of its own; ``command`` replaces the stub's."""

    def launch(model: ModelFiles, port: int) -> Launch:
        program = f"from tests.support.server.stub_server import serve; serve({port})"
        return Launch(command or [sys.executable, "-c", program], {})

    return System(
        name=name,
        about=f"a stub called {name}",
        environment=Path(sys.prefix),
        packages=("numpy",),
        prepare=lambda model: None,
        launch=launch,
    )


def load_spec(port: int, load: str = "short-8", requests: int = 100, seconds: float = 600) -> LoadSpec:
    """Ends after so many requests, however long they take."""
    return LoadSpec(port=port, load=load, seconds=seconds, requests=requests, dim=DIM, seed="test")
