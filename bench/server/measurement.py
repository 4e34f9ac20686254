"""The recipe: prepares, starts and loads the systems in turn, so that a slow minute of the machine hits all alike."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.report.machine import commit, describe_machine
from bench.server.loads import LOADS
from bench.server.measured_system import MeasuredSystem
from bench.server.results import Results, Settings
from bench.server.systems import BASELINE, ROOT, System
from build.model.files import ModelFiles

Say = Callable[[str], None]
Original = Callable[[Path, list[str]], NDArray[np.float32]]


def measure(
    systems: Sequence[System],
    model: ModelFiles,
    texts: list[str],
    original: Original,
    settings: Settings,
    say: Say,
) -> Results:
    """Everything, in order. ``original`` gives the vectors of ``texts`` that the systems' own are compared with.

    Raises ``BenchError``. However it ends, the servers that it started are stopped.
    """
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    machine = describe_machine()
    subjects = [MeasuredSystem(system, model) for system in systems]
    for subject in subjects:
        say(f"preparing {subject.system.name}: {subject.system.about}")
        subject.prepare()
    say("embedding the held-out texts with the original in fp32")
    reference = original(model.directory, texts)
    with ExitStack() as stack:
        for subject in subjects:
            stack.callback(subject.stop)
            say(f"starting {subject.system.name}, {settings.starts + 1} times")
            seconds = subject.start(settings.starts)
            say(f"  ready after {', '.join(f'{second:.2f}' for second in seconds)} s")
        for subject in subjects:
            fidelity = subject.compare(texts, reference)
            say(f"cosine of {subject.system.name} to the original: {fidelity.cosine_mean:.4f} in the mean")
        _idle(subjects, settings.idle_seconds, say)
        for number in range(1, settings.rounds + 1):
            _round(subjects, number, settings, reference.shape[1], machine.cores, say)
        results = [subject.result() for subject in subjects]
    return Results(
        date=date,
        commit=commit(ROOT),
        model=model.model,
        baseline=BASELINE,
        machine=machine,
        settings=settings,
        systems=results,
    )


def _idle(subjects: Sequence[MeasuredSystem], seconds: float, say: Say) -> None:
    say(f"leaving all idle for {seconds:g} s")
    before = [subject.cpu_seconds() for subject in subjects]
    started = time.perf_counter()
    time.sleep(seconds)
    elapsed = time.perf_counter() - started
    for subject, used in zip(subjects, before, strict=True):
        subject.note_idle((subject.cpu_seconds() - used) / elapsed * 100)


def _round(subjects: Sequence[MeasuredSystem], number: int, settings: Settings, dim: int, cores: int, say: Say) -> None:
    """Every load on every system, one at a time; all get the same texts, and no text comes twice in a measurement.

    The order of systems turns around from round to round, so that none always follows the same neighbour.
    """
    for load in LOADS:
        for subject in subjects if number % 2 else reversed(subjects):
            sample = subject.run(load, settings.seconds, dim, f"round {number}, {load.name}", cores)
            say(
                f"round {number}/{settings.rounds}  {load!s:<30}{subject.system.name:<12}"
                f"{sample.requests_per_second:8.1f} requests/s  p50 {sample.p50_ms:7.2f}  p99 {sample.p99_ms:7.2f} ms"
            )
