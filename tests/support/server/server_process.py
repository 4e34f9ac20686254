"""Starts the real server as a process, and speaks HTTP to it over raw sockets."""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.fidelity.runtime_process import AS_THE_ORIGINAL, RuntimeClient, free_port
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.programs.forks import RUNTIME, Fork, Forks
from tests.support.signals import restore_signals

CLOSE_SECONDS = 60
"""A server that closes a connection does it within that time; it is below the keep-alive time, which closes any."""


@dataclass
class Server:
    """A running server: its process (gunicorn's master), port, and the file that takes its output."""

    process: subprocess.Popen[bytes] | Fork
    port: int
    log: Path

    def output(self) -> str:
        return self.log.read_text()

    def wait_ready(self) -> None:
        wait_until(self._is_ready, "the server does not become ready", self.output)

    def wait_until_read(self) -> None:
        """Wait until the server has accepted all connections and read all that was sent, by the kernel's queues."""
        wait_until(lambda: not waiting_bytes(self.port), "the server does not read what was sent", self.output)

    def connect(self) -> Connection:
        return Connection(self.port)

    def embed(self, text: str, **config: object) -> Answer:
        with self.connect() as connection:
            return connection.embed(text, **config)

    def terminate(self) -> int:
        """Send SIGTERM, as `docker stop` does, and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.exit_status()

    def kill(self) -> None:
        """End the master and its workers at once, with whatever they do."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def exit_status(self) -> int:
        """Wait until the server has ended."""
        return self.process.wait(PATIENCE)

    def workers(self) -> list[int]:
        """The process ids of the master's children."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"the server ended: {self.output()}"
        try:
            with self.connect() as connection:
                return connection.request("GET", "/.well-known/ready").status == 204
        except OSError:
            return False


def wait_until(condition: Callable[[], object], failure: str, details: Callable[[], str] = str) -> None:
    """Fail with ``failure`` and ``details`` where the condition does not come true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{failure}: {details()}"
        time.sleep(0.01)


def waiting_bytes(port: int) -> int:
    """What was sent to the port of this machine and not read yet; each connection that is not accepted counts too."""
    total = 0
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, remote, _, queues = line.split()[1:5]
            sent, received = (int(queue, 16) for queue in queues.split(":"))
            if int(local.rpartition(":")[2], 16) == port:
                total += received
            elif int(remote.rpartition(":")[2], 16) == port:
                total += sent
    return total


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One raw TCP connection; requests are written as given, answers are read by Content-Length."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
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

    def has_answer(self) -> bool:
        """Whether an answer has begun to arrive."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def is_closed(self) -> bool:
        """Whether the server closes the connection without being asked."""
        self.socket.settimeout(CLOSE_SECONDS)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


@contextmanager
def started(
    bundle: Path, log: Path, command: list[str] | None = None, drain_seconds: int | None = None, **settings: str
) -> Iterator[Server]:
    """A server process on a free port, not yet ready; killed at the end if it still runs.

    It has one worker unless the settings say otherwise, so that tests mean the same on a machine with many cores.
    ``command``: what starts it, in place of a fork; empty, nothing does. ``drain_seconds``: the setting DRAIN_SECONDS.
    """
    port = free_port()
    environment = {"PATH": os.defpath, "BUNDLE_DIR": str(bundle), "PORT": str(port), "WORKERS": "1", **settings}
    if drain_seconds is not None:
        environment["DRAIN_SECONDS"] = str(drain_seconds)
    with running(["-m", "runtime"], environment, log, command) as process:
        yield Server(process, port, log)


@contextmanager
def running(
    words: list[str], environment: Mapping[str, str], log: Path, command: list[str] | None = None
) -> Iterator[subprocess.Popen[bytes] | Fork]:
    """A program in the runtime's environment that leads a process group, killed at the end with all that it started.

    ``words``: what follows the interpreter's name. ``command``: see ``started``.
    """
    with ExitStack() as stack, log.open("wb") as output:
        process: subprocess.Popen[bytes] | Fork
        if command is None:
            process = stack.enter_context(runtime_forks().leading(words, environment, output))
        else:
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, *RUNTIME.command, *words],
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=restore_signals,
                )
            )
        try:
            yield process
        finally:
            # PERF: asked to end, a server would wait three seconds for requests. Tests of that ask it themselves.
            if process.poll() is None:
                # NOTE: it may have ended since, and its group with it.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


@functools.cache
def runtime_forks() -> Forks:
    """Starts programs in the runtime's environment for as long as this process runs."""
    forks = Forks(RUNTIME)
    atexit.register(forks.close)
    return forks


@contextmanager
def ready(
    bundle: Path, log: Path, command: list[str] | None = None, drain_seconds: int | None = None, **settings: str
) -> Iterator[Server]:
    """The same, once it is ready."""
    with started(bundle, log, command, drain_seconds, **settings) as server:
        server.wait_ready()
        yield server


@contextmanager
def embedding(bundle: Path, log: Path) -> Iterator[RuntimeClient]:
    """What verification asks for vectors, of a server as verification sets it up."""
    with ready(bundle, log, None, None, **AS_THE_ORIGINAL) as server:
        client = RuntimeClient(server.port)
        yield client
        client.close()
