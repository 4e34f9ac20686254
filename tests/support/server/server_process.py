"""Starts the real server as a process for tests, and speaks HTTP to it on raw sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.fidelity.runtime_process import ROOT, RUNTIME_PYTHON, free_port

START_SECONDS = 60


@dataclass
class Server:
    """A running server: its process (gunicorn's master), port, and the file that takes its output."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def output(self) -> str:
        return self.log.read_text()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server ended: {self.output()}"
            try:
                with self.connect() as connection:
                    if connection.request("GET", "/.well-known/ready").status == 204:
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"the server did not turn ready: {self.output()}")

    def connect(self, seconds: float = 60) -> Connection:
        return Connection(self.port, seconds)

    def embed(self, text: str, **config: object) -> Answer:
        with self.connect() as connection:
            return connection.embed(text, **config)

    def terminate(self, seconds: float = 15) -> float:
        """SIGTERM, as `docker stop` sends it; how long the server took to end."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(seconds)
        return time.monotonic() - started


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One raw TCP connection; requests are written as given, answers are read by Content-Length.

    ``seconds``: of silence, after which waiting for an answer raises TimeoutError.
    """

    def __init__(self, port: int, seconds: float = 60) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)
        return self.answer()

    def embed(self, text: str, **config: object) -> Answer:
        return self.request("POST", "/vectors", json.dumps({"text": text, "config": config}).encode())

    def answer(self) -> Answer:
        """The next answer. Raises ``ConnectionError`` where the server closed instead."""
        first = self._file.readline()
        if not first:
            raise ConnectionError("the server closed the connection")
        headers: dict[str, str] = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        return Answer(int(first.split()[1]), headers, self._file.read(length))

    def is_closed_within(self, seconds: float) -> bool:
        """Whether the server closes the connection, unasked, in that time."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


@contextmanager
def started(bundle: Path, log: Path, command: list[str] | None = None, **settings: str) -> Iterator[Server]:
    """A server process on a free port, not yet ready; killed at the end if it still runs."""
    port = free_port()
    environment = {"PATH": os.defpath, "BUNDLE_DIR": str(bundle), "PORT": str(port), **settings}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*(command or []), RUNTIME_PYTHON, "-W", "error", "-m", "runtime"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield Server(process, port, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def ready(bundle: Path, log: Path, command: list[str] | None = None, **settings: str) -> Iterator[Server]:
    """The same, once it is ready."""
    with started(bundle, log, command, **settings) as server:
        server.wait_ready()
        yield server
