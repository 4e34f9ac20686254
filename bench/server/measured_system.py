"""One system while it is measured: its running server, and the figures so far."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import IO

from bench import process_tree
from bench.errors import BenchError, LoadFailed, ServerFailed
from bench.load.generator import MIDDLE
from bench.load.loads import Group, Load, LoadResult, LoadSpec
from bench.process_tree import Memory
from bench.report.machine import children_cpu_seconds, others_percent, versions_in
from bench.server.fidelity import Original
from bench.server.process import Server
from bench.server.results import Sample, SystemResult
from bench.server.system import System
from build.model.files import ModelFiles
from build.paths import ROOT
from manifest import Fidelity

GRACE_SECONDS = 180.0
"""The load generator may take so much longer than the load: for its start, its texts and the last answers."""

SETTLE_SECONDS = 300.0
SETTLED_PERCENT = 10.0
LOOK_SECONDS = 0.25
"""For so long it is looked whether a server has become idle."""


class MeasuredSystem:
    """Its server runs between ``start`` and ``stop``. Errors name the system."""

    def __init__(self, system: System, model: ModelFiles) -> None:
        self.system, self._model = system, model
        self._running: Server | None = None
        self._start_seconds: list[float] = []
        self._samples: dict[str, list[Sample]] = {}
        self._memory_after_start = Memory(0.0, 0.0)
        self._idle_cpu_percent = 0.0
        self._fidelity: Fidelity | None = None

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

    def compare(self, original: Original) -> Fidelity:
        with self._naming_the_system():
            self._fidelity = original.compare(self._server.port)
        return self._fidelity

    def cpu_seconds(self) -> float:
        with self._naming_the_system():
            return self._server.cpu_seconds()

    def note_idle(self, percent: float) -> None:
        self._idle_cpu_percent = percent

    def run(self, load: Load, seconds: float, numbers: int, seed: str, cores: int) -> Sample:
        """Put the server under one load, and keep the sample. ``seconds``: those of the settings."""
        seconds *= load.times
        spec = LoadSpec(self._server.port, load, seconds, load.max_requests(seconds), numbers, seed)
        with self._naming_the_system():
            server, reaped = self._server.cpu_seconds(), self._server.reaped_cpu_seconds
            machine, children = process_tree.machine_cpu_seconds(), children_cpu_seconds()
            start = time.perf_counter()
            result = generate_load(spec, self._server.restart if load.group is Group.RESTART else lambda: None)
            elapsed = time.perf_counter() - start
            server = self._server.cpu_seconds() - server
            reaped = self._server.reaped_cpu_seconds - reaped
        machine = process_tree.machine_cpu_seconds() - machine
        generator = children_cpu_seconds() - children - reaped
        lost = sum(result.lost.values())
        sample = Sample(
            requests_per_second=result.requests_per_second,
            p50_ms=result.p50_ms,
            p99_ms=result.p99_ms,
            max_ms=result.max_ms,
            requests=result.requests,
            seconds=result.seconds,
            cpu_ms_per_request=server / result.answers * 1e3 if result.answers else 0.0,
            others_cpu_percent=others_percent(machine, server + generator, elapsed, cores),
            generator_cpu_ms_per_request=result.cpu_seconds / max(1, result.answers + lost) * 1e3,
            sent=result.answers + lost,
            lost=result.lost,
            dials=result.dials,
            resends=result.resends,
            silence_seconds=result.silence_seconds,
        )
        self._samples.setdefault(load.name, []).append(sample)
        return sample

    def settle(self) -> float:
        """Wait until the server is idle, and return for how many seconds: it may work on for callers who have gone."""
        start = time.perf_counter()
        while (waited := time.perf_counter() - start) < SETTLE_SECONDS:
            before = self.cpu_seconds()
            time.sleep(LOOK_SECONDS)
            if (self.cpu_seconds() - before) / LOOK_SECONDS * 100 < SETTLED_PERCENT:
                break
        return waited

    def result(self) -> SystemResult:
        """All that was measured; the memory is read now."""
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


def generate_load(spec: LoadSpec, in_the_middle: Callable[[], None] = lambda: None) -> LoadResult:
    """Run the load generator as a process of its own, and call ``in_the_middle`` when it says so.

    Raises ``LoadFailed`` with that process's message.
    """
    with tempfile.TemporaryFile("w+") as errors, _load_generator(errors) as process:
        watch = threading.Timer(spec.seconds + GRACE_SECONDS, process.kill)
        watch.start()
        try:
            result = _follow(process, spec, in_the_middle)
            status = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            late = not watch.is_alive()
            watch.cancel()
        if status == 0:
            return LoadResult(**json.loads(result))
        errors.seek(0)
        lines = errors.read().strip().splitlines()
    if late:
        raise LoadFailed("the load generator did not finish")
    raise LoadFailed(lines[-1] if lines else f"the load generator ended with status {status}")


def _load_generator(errors: IO[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.load.generator"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )


def _follow(process: subprocess.Popen[str], spec: LoadSpec, in_the_middle: Callable[[], None]) -> str:
    """Its last line."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError), process.stdin as pipe:
        json.dump(asdict(spec), pipe)
    line = ""
    for line in process.stdout:
        if line.strip() == MIDDLE:
            in_the_middle()
    return line
