"""Puts a load on worker processes whose inference threads sleep, and sees how they share it."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.commands import Command
from bench.environment import RUNTIME_ENVIRONMENT, python_in
from bench.load.loads import Group, Load, LoadResult, LoadSpec
from bench.load.texts import SHORT
from bench.server.measured_system import generate_load
from bench.server.process import Server, free_port
from build.paths import ROOT

DIM = 384

PER_THREAD = 2
"""So many requests are in flight for each thread: if they are shared evenly, no thread is ever without one."""


@dataclass(frozen=True)
class Setup:
    """Threads that are divided among workers, and what a text takes of one."""

    workers: int
    threads: int
    """Of all workers together."""
    milliseconds: float
    group: Group
    least_busy: bool = True

    @property
    def possible(self) -> float:
        """Requests a second if no thread ever waited; infinite where a text takes no time."""
        return self.threads / self.milliseconds * 1e3 if self.milliseconds else float("inf")


@dataclass(frozen=True)
class Shared:
    """What came of it."""

    load: LoadResult
    answers: tuple[int, ...]
    """Of each worker, the fewest first, from the start to the end of the server."""
    pss_mb: float


def measure(setup: Setup, seconds: float) -> Shared:
    """Raises ``BenchError``."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-workers-") as counts:
        plan = {
            "port": port,
            "workers": setup.workers,
            "threads": setup.threads // setup.workers,
            "seconds": setup.milliseconds / 1e3,
            "dim": DIM,
            "least_busy": setup.least_busy,
            "counts": counts,
        }
        command: Command = [python_in(RUNTIME_ENVIRONMENT), "-m", "bench.workers.stub", json.dumps(plan)]
        server = Server(command, port, {"PATH": os.defpath}, ROOT)
        try:
            load = Load(SHORT, PER_THREAD * setup.threads, setup.group)
            spec = LoadSpec(port, load, seconds, load.max_requests(seconds), DIM, json.dumps(asdict(setup)))
            result = generate_load(spec)
            pss_mb = server.memory().pss_mb
        finally:
            server.stop()
        answers = sorted(int(file.read_text()) for file in Path(counts).iterdir())
    return Shared(result, tuple(answers), pss_mb)
