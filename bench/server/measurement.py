"""Measures all systems: prepares and starts them, then puts every load on each of them in turn.

Systems alternate within each round, so that a slow minute of the machine affects all of them alike.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.load.loads import Load
from bench.progress import Log
from bench.report.machine import commit, describe_machine
from bench.server.fidelity import Original
from bench.server.kind import OpsTime
from bench.server.measured_system import MeasuredSystem
from bench.server.report import describe
from bench.server.results import Results, Sample, Settings
from bench.server.system import BASE, CPU2VEC, INCUMBENT, System
from build.model.files import ModelFiles
from build.paths import ROOT

NOTABLE_SECONDS = 2.0
"""Of a server that goes on working after a load."""


def measure(
    systems: Sequence[System],
    model: ModelFiles,
    loads: Sequence[Load],
    original: Callable[[Path], Original],
    settings: Settings,
    log: Log,
    ops: OpsTime | None = None,
) -> Results:
    """All figures of all systems that are put under any of the loads.

    ``original``: from the model's directory to what the answers of systems with a model are compared with. ``ops`` is
    measured where this checkout's bundle is. However it ends, the servers that it started are stopped. Raises
    ``BenchError``.
    """
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    machine = describe_machine()
    systems = [system for system in systems if system.loads & {load.group for load in loads}]
    measured = [MeasuredSystem(system, model) for system in systems]
    for system in measured:
        log(f"preparing {system.system.name}: {system.system.about}")
        system.prepare()
    log("asking the original in fp32")
    reference = original(model.directory)
    with ExitStack() as stack:
        for system in measured:
            stack.callback(system.stop)
            log(f"starting {system.system.name}, {settings.starts + 1} times")
            start_seconds = system.start(settings.starts)
            log(f"  ready after {', '.join(f'{seconds:.2f}' for seconds in start_seconds)} s")
        for system in (each for each in measured if each.system.has_model):
            log(f"{system.system.name} beside the original: {describe(system.compare(reference))}")
        _leave_idle(measured, settings.idle_seconds, log)
        ops_ms: dict[str, list[float]] = {}
        for number in range(1, settings.rounds + 1):
            if ops is not None and any(system.name == CPU2VEC for system in systems):
                _measure_ops(ops, model, loads, machine.cores, ops_ms)
            _run_round(measured, loads, number, settings, reference.numbers, machine.cores, log)
        results = [system.result() for system in measured]
    return Results(
        date=date,
        commit=commit(ROOT),
        model=model.model,
        baseline=_baseline(systems),
        machine=machine,
        settings=settings,
        loads=list(loads),
        systems=results,
        ops_ms=ops_ms,
    )


def _baseline(systems: Sequence[System]) -> str:
    """The incumbent, or the other checkout where that is measured without it."""
    names = {system.name for system in systems}
    return BASE if BASE in names and INCUMBENT not in names else INCUMBENT


def _leave_idle(measured: Sequence[MeasuredSystem], seconds: float, log: Log) -> None:
    log(f"leaving all servers idle for {seconds:g} s")
    before = [system.cpu_seconds() for system in measured]
    start = time.perf_counter()
    time.sleep(seconds)
    elapsed = time.perf_counter() - start
    for system, used in zip(measured, before, strict=True):
        system.note_idle((system.cpu_seconds() - used) / elapsed * 100)


def _measure_ops(
    ops: OpsTime, model: ModelFiles, loads: Sequence[Load], cores: int, found: dict[str, list[float]]
) -> None:
    """Add one value for each load of which the ops are known."""
    for load in loads:
        if (milliseconds := ops(model, load, cores)) is not None:
            found.setdefault(load.name, []).append(milliseconds)


def _run_round(
    measured: Sequence[MeasuredSystem],
    loads: Sequence[Load],
    number: int,
    settings: Settings,
    numbers: int,
    cores: int,
    log: Log,
) -> None:
    """Put every load on every system, one at a time. All get the same texts; no text is sent twice in a measurement.

    The order of systems is reversed in every other round, so that none always runs after the same one.
    """
    for load in loads:
        for system in measured if number % 2 else reversed(measured):
            if load.group not in system.system.loads:
                continue
            sample = system.run(load, settings.seconds, numbers, f"round {number}, {load.name}", cores)
            log(f"round {number}/{settings.rounds}  {load!s:<48}{system.system.name:<12}{_figures(load, sample)}")
            if load.counts_losses and (waited := system.settle()) > NOTABLE_SECONDS:
                log(f"  {system.system.name} went on working for {waited:.0f} s after the last caller had gone")


def _figures(load: Load, sample: Sample) -> str:
    figures = f"{sample.requests_per_second:8.1f} requests/s  p50 {sample.p50_ms:7.2f}  p99 {sample.p99_ms:7.2f} ms"
    return f"{figures}  lost {sum(sample.lost.values())} of {sample.sent}" if load.counts_losses else figures
