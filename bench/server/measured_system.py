"""One system while it is measured: its running server, and the figures so far."""

from __future__ import annotations

import json
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
from bench.report.machine import children_cpu_seconds, others_percent, versions_in
from bench.server.fidelity import compare, served_vectors
from bench.server.load_generator import LoadResult, LoadSpec
from bench.server.loads import LOADS, Load
from bench.server.process import Server
from bench.server.results import Sample, SystemResult
from bench.server.systems import System
from build.model.files import ModelFiles
from build.paths import ROOT
from manifest import CosineFigures

GRACE_SECONDS = 120.0
"""The load generator may take so much longer than the load: for its start, its texts and the last answers."""


class MeasuredSystem:
    """Its server runs between ``start`` and ``stop``. Errors name the system."""

    def __init__(self, system: System, model: ModelFiles) -> None:
        self.system, self._model = system, model
        self._running: Server | None = None
        self._start_seconds: list[float] = []
        self._samples: dict[str, list[Sample]] = {load.name: [] for load in LOADS}
        self._memory_after_start = Memory(0.0, 0.0)
        self._idle_cpu_percent = 0.0
        self._fidelity: CosineFigures | None = None

    def prepare(self) -> None:
        with self._naming_the_system():
            self.system.prepare(self._model)

    def start(self, starts: int) -> list[float]:
        """Start the server once without timing, because that reads from disk, and then ``starts`` times.

        Returns the seconds that each took. The last server stays.
        """
        with self._naming_the_system():
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

    def compare(self, texts: list[str], reference: NDArray[np.float32]) -> CosineFigures:
        with self._naming_the_system():
            self._fidelity = compare(served_vectors(self._server.port, texts), reference)
        return self._fidelity

    def cpu_seconds(self) -> float:
        with self._naming_the_system():
            return self._server.cpu_seconds()

    def note_idle(self, percent: float) -> None:
        self._idle_cpu_percent = percent

    def run(self, load: Load, seconds: float, dim: int, seed: str, cores: int) -> Sample:
        """Put the server under one load, and keep the sample."""
        requests = load.max_requests(seconds)
        spec = LoadSpec(self._server.port, load.name, seconds, requests, dim, seed)
        with self._naming_the_system():
            before = self._server.cpu_seconds(), process_tree.machine_cpu_seconds(), children_cpu_seconds()
            start = time.perf_counter()
            result = generate_load(spec)
            elapsed = time.perf_counter() - start
            server = self._server.cpu_seconds() - before[0]
        machine = process_tree.machine_cpu_seconds() - before[1]
        own = server + children_cpu_seconds() - before[2]
        sample = Sample(
            requests_per_second=result.requests_per_second,
            p50_ms=result.p50_ms,
            p99_ms=result.p99_ms,
            max_ms=result.max_ms,
            requests=result.requests,
            seconds=result.seconds,
            cpu_ms_per_request=server / result.answers * 1e3,
            others_cpu_percent=others_percent(machine, own, elapsed, cores),
        )
        self._samples[load.name].append(sample)
        return sample

    def result(self) -> SystemResult:
        """All that was measured; the memory is read now."""
        if self._fidelity is None:
            raise ValueError("the system has not been measured")
        with self._naming_the_system():
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
    def _naming_the_system(self) -> Iterator[None]:
        try:
            yield
        except BenchError as error:
            raise type(error)(f"{self.system.name}: {error}") from None


def generate_load(spec: LoadSpec) -> LoadResult:
    """Run the load generator as a process of its own. Raises ``LoadFailed`` with that process's message."""
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "bench.server.load_generator"],
            cwd=ROOT,
            input=json.dumps(asdict(spec)),
            capture_output=True,
            text=True,
            timeout=spec.seconds + GRACE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LoadFailed("the load generator did not finish") from None
    if finished.returncode != 0:
        lines = finished.stderr.strip().splitlines()
        raise LoadFailed(lines[-1] if lines else f"the load generator ended with status {finished.returncode}")
    return LoadResult(**json.loads(finished.stdout))
