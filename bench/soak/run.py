"""The procedure of a soak: start a server, learn its answers, load it, replace it again and again, look at it all."""

from __future__ import annotations

import time
from pathlib import Path

from bench.errors import LoadFailed, ServerFailed
from bench.report.machine import describe_machine
from bench.soak.callers.load import Callers
from bench.soak.callers.probes import known_answers
from bench.soak.clock import Clock
from bench.soak.figures import Subject, figures
from bench.soak.fleet import Fleet, Start, descriptors_left
from bench.soak.observer import Observer
from bench.soak.plan import Plan
from bench.soak.progress import Progress
from bench.soak.results import INTERRUPTED, Soak
from bench.soak.verdict import MAX_DESCRIPTORS_LEFT

TICK_SECONDS = 0.2


def soak(bundle: Path, model: str, plan: Plan, start: Start, progress: Progress) -> Soak:
    """Everything that was measured. Where Ctrl-C or a server's end stops the load, that is everything until then.

    ``model``: its name. ``start``: starts a server of the bundle, with the plan's ``DRAIN_SECONDS``. However it ends,
    all servers are stopped. Raises ``BenchError``, and ``KeyboardInterrupt`` before the load begins.
    """
    machine = describe_machine()
    callers: list[Callers] = []
    fleet = Fleet(start, lambda port: callers[0].redirect(port), plan.drain_seconds)
    try:
        progress.log("starting the server")
        port = fleet.start().server.port
        progress.log("asking it for the vectors that it will be compared with")
        callers.append(Callers(port, plan, known_answers(bundle, port, plan.seed)))
        progress.log(f"loading it for {plan.seconds:g} s, with {len(plan.restarts)} replacements")
        clock = Clock(fleet.cpu_seconds)
        observer = Observer(lambda: fleet.running, lambda: progress.show(fleet, callers[0], clock.start))
        stopped_by = _load(fleet, callers[0], observer, plan, clock, progress)
        others_percent = clock.others_percent(machine.cores)
        last = fleet.lives[-1]
        last.descriptors_left = descriptors_left(last.server.pid, last.idle_descriptors + MAX_DESCRIPTORS_LEFT)
    finally:
        progress.close()
        fleet.stop()
    subject = Subject(model, bundle.name, machine, plan, stopped_by, others_percent)
    return figures(subject, fleet.lives, callers[0], observer.looks, clock)


def _load(fleet: Fleet, callers: Callers, observer: Observer, plan: Plan, clock: Clock, progress: Progress) -> str:
    """What stopped the load; empty where it came to its end."""
    callers.start()
    observer.start()
    try:
        for at in plan.restarts:
            _wait_until(clock.start + at, fleet, callers)
            life = fleet.replace()
            progress.log(f"server {life.number - 1} is replaced: {fleet.lives[-2].cut} requests were cut")
        _wait_until(clock.start + plan.seconds, fleet, callers)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ServerFailed, LoadFailed) as error:
        return str(error)
    finally:
        clock.stop()
        progress.log("waiting for what is in flight")
        try:
            callers.stop()
        finally:
            observer.stop()
    return ""


def _wait_until(at: float, fleet: Fleet, callers: Callers) -> None:
    """Raises ``ServerFailed`` where the server ends, and ``LoadFailed`` where its callers do."""
    while (left := at - time.perf_counter()) > 0:
        fleet.lives[-1].server.check_alive()
        if callers.has_ended:
            raise LoadFailed("Weaviate's callers have sent all that they may: raise --max-requests")
        time.sleep(min(left, TICK_SECONDS))
