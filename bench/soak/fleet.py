"""The server and its replacements, each a process of its own on a port of its own, as an orchestrator runs them.

A replacement is started beside the old server. Once it is ready, the old one is asked to end. Callers still go to the
old one for a while, as those of a Kubernetes service do, and then to the new one; connections that are open stay.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench import process_tree
from bench.environment import RUNTIME_ENVIRONMENT
from bench.errors import ServerFailed
from bench.server.process import STOP_SECONDS, Server, free_port
from bench.server.runtime import serve_bundle
from bench.soak.plan import FOLLOW_SECONDS

CUT = re.compile(r"(\d+) request\(s\) in progress were cut off")
"""What a server writes at its end if ``DRAIN_SECONDS`` were not enough."""

SETTLE_SECONDS = 30.0
LOOK_SECONDS = 0.1

Start = Callable[[], Server]
"""Starts a server on a free port, and returns it once it is ready. Raises ``ServerFailed``."""


def starter(bundle: Path, drain_seconds: int) -> Start:
    """Starts this checkout's runtime on the bundle, as in production."""

    def start() -> Server:
        port = free_port()
        launch = serve_bundle(RUNTIME_ENVIRONMENT, bundle, port)
        settings = {**launch.environment, "DRAIN_SECONDS": str(drain_seconds)}
        return Server(launch.command, port, {"PATH": os.defpath, **settings}, launch.folder)

    return start


@dataclass
class Life:
    """One server from its start to its end. Times are by ``time.perf_counter``."""

    number: int
    server: Server = field(repr=False)
    start_seconds: float
    ready_at: float
    idle_descriptors: int
    """Once it was ready, before anybody came."""
    idle_rss_mb: float
    asked_at: float | None = None
    """When it was asked to end."""
    ended_at: float | None = None
    status: int | None = None
    cut: int = 0
    """How many requests were still in progress at the end, as its log tells."""
    descriptors_left: int | None = None
    """After the load, of the last one."""


class Fleet:
    """``lives`` are all servers so far, the one that serves now last. Other threads may read them."""

    def __init__(self, start: Start, redirect: Callable[[int], None], drain_seconds: float = 0.0) -> None:
        """``redirect``: makes callers dial another port. ``drain_seconds``: what a server may take for its end."""
        self._start, self._redirect, self._drain_seconds = start, redirect, drain_seconds
        self.lives: list[Life] = []

    @property
    def running(self) -> list[Life]:
        return [life for life in list(self.lives) if life.ended_at is None]

    def cpu_seconds(self) -> float:
        """What the servers that run now have used so far."""
        return sum(life.server.cpu_seconds() for life in self.running)

    def start(self) -> Life:
        """Start one more, which nobody is sent to yet."""
        server = self._start()
        descriptors = idle_descriptors(server.pid)
        number, memory = len(self.lives) + 1, server.memory()
        life = Life(number, server, server.start_seconds, time.perf_counter(), descriptors, memory.rss_mb)
        self.lives.append(life)
        return life

    def replace(self) -> Life:
        """Start a replacement and drain the old server, which has ended then. Raises ``ServerFailed``."""
        old = self.lives[-1]
        old.server.check_alive()
        new = self.start()
        self.ask_to_end(old)
        time.sleep(FOLLOW_SECONDS)
        self._redirect(new.server.port)
        self.wait_for_end(old)
        return new

    def ask_to_end(self, life: Life) -> None:
        life.asked_at = life.asked_at or time.perf_counter()
        life.server.ask_to_end()

    def wait_for_end(self, life: Life) -> None:
        life.status = life.server.wait_for_end(self._drain_seconds + STOP_SECONDS)
        life.ended_at = time.perf_counter()
        life.cut = cut_in(life.server.output())
        life.server.stop()

    def stop(self) -> None:
        """End all that still run. A server that had ended unasked is known by its status."""
        for life in self.running:
            with suppress(ServerFailed):
                life.server.check_alive()
                self.ask_to_end(life)
            self.wait_for_end(life)


def cut_in(log: str) -> int:
    """How many requests were cut off when a server ended."""
    return sum(int(count) for count in CUT.findall(log))


def idle_descriptors(pid: int) -> int:
    """The file descriptors of a server that nobody uses, once two looks agree."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before, count = -1, _descriptors(pid)
    while count != before and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        before, count = count, _descriptors(pid)
    return count


def descriptors_left(pid: int, most: int) -> int:
    """The file descriptors of a server that nobody uses any more, once there are ``most``, or after a while."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (count := _descriptors(pid)) > most and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return count


def _descriptors(pid: int) -> int:
    return process_tree.descriptors(process_tree.tree(pid))
