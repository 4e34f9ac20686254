"""Owns one system while it is measured: its running server, and the figures so far."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from bench import process_tree
from bench.errors import BenchError, LoadFailed, ServerFailed
from bench.process_tree import Memory
from bench.report.machine import versions_in
from bench.server.fidelity import compare, served_vectors
from bench.server.load_generator import Figures, Order
from bench.server.loads import LOADS, Load
from bench.server.process import Server
from bench.server.results import Sample, SystemResult
from bench.server.systems import ROOT, System
from build.model.files import ModelFiles
from manifest import Fidelity

GRACE_SECONDS = 120.0
"""For the load generator beyond the load itself: its start, its texts, and the last answers."""


class MeasuredSystem:
    """Between ``start`` and ``stop`` its server runs. Errors are told with the system's name."""

    def __init__(self, system: System, model: ModelFiles) -> None:
        self.system, self._model = system, model
        self._running: Server | None = None
        self._start_seconds: list[float] = []
        self._samples: dict[str, list[Sample]] = {load.name: [] for load in LOADS}
        self._memory_after_start = Memory(0.0, 0.0)
        self._idle_cpu_percent = 0.0
        self._fidelity: Fidelity | None = None

    def prepare(self) -> None:
        with self._named():
            self.system.prepare(self._model)

    def start(self, starts: int) -> list[float]:
        """Start it ``starts`` times, after once untimed: the first start reads from disk, and may write bytecode.

        Returns the seconds that each took. The last server stays.
        """
        with self._named():
            self._running = self.system.start(self._model)
            for _ in range(starts):
                self.stop()
                self._running = self.system.start(self._model)
                self._start_seconds.append(self._running.start_seconds)
        self._memory_after_start = self._running.memory()
        return self._start_seconds

    def stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None

    def compare(self, texts: list[str], reference: NDArray[np.float32]) -> Fidelity:
        with self._named():
            self._fidelity = compare(served_vectors(self._server.port, texts), reference)
        return self._fidelity

    def cpu_seconds(self) -> float:
        with self._named():
            return self._server.cpu_seconds()

    def note_idle(self, percent: float) -> None:
        self._idle_cpu_percent = percent

    def run(self, load: Load, seconds: float, dim: int, seed: str, cores: int) -> Sample:
        """Put the server under one load, and keep the sample."""
        order = Order(port=self._server.port, load=load.name, seconds=seconds, dim=dim, seed=seed)
        with self._named():
            before = self._server.cpu_seconds(), process_tree.machine_cpu_seconds(), _children_seconds()
            started = time.perf_counter()
            figures = generate_load(order)
            elapsed = time.perf_counter() - started
            server = self._server.cpu_seconds() - before[0]
        others = process_tree.machine_cpu_seconds() - before[1] - server - (_children_seconds() - before[2])
        sample = Sample(
            requests_per_second=figures.requests_per_second,
            p50_ms=figures.p50_ms,
            p99_ms=figures.p99_ms,
            max_ms=figures.max_ms,
            requests=figures.requests,
            seconds=figures.seconds,
            cpu_ms_per_request=server / figures.answers * 1e3,
            others_cpu_percent=max(0.0, others / (elapsed * cores) * 100),
        )
        self._samples[load.name].append(sample)
        return sample

    def result(self) -> SystemResult:
        """All that was measured; the memory is read now."""
        if self._fidelity is None:
            raise ValueError("the system has not been measured")
        with self._named():
            memory = self._server.memory()
        return SystemResult(
            name=self.system.name,
            about=self.system.about,
            versions=versions_in(self.system.environment, self.system.packages),
            start_seconds=self._start_seconds,
            memory_after_start=self._memory_after_start,
            memory_after_load=memory,
            idle_cpu_percent=self._idle_cpu_percent,
            fidelity=self._fidelity,
            samples=self._samples,
        )

    @property
    def _server(self) -> Server:
        if self._running is None:
            raise ServerFailed("the server is not running")
        self._running.check_alive()
        return self._running

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except BenchError as error:
            raise type(error)(f"{self.system.name}: {error}") from None


def generate_load(order: Order) -> Figures:
    """Run the load generator as a process of its own. Raises ``LoadFailed`` with what it says."""
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "bench.server.load_generator"],
            cwd=ROOT,
            input=json.dumps(asdict(order)),
            capture_output=True,
            text=True,
            timeout=order.seconds + GRACE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LoadFailed("the load generator did not finish") from None
    if finished.returncode != 0:
        said = finished.stderr.strip().splitlines()
        raise LoadFailed(said[-1] if said else f"the load generator ended with status {finished.returncode}")
    return Figures(**json.loads(finished.stdout))


def _children_seconds() -> float:
    """Used so far by the load generators, the only children of this process that have ended meanwhile."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
