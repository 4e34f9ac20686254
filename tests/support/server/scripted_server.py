"""A server with the real master and a worker that follows a script, to be run in the runtime's environment.

It takes one argument, a JSON object with the fields of ``Plan``. The first worker follows the first script, and so on;
the last script is for all others. The words of a script:

- ``ready``: report ready
- ``wait``: for SIGTERM
- ``exit N``, ``signal N``: end so
- ``raise``: an exception that nobody catches
- ``hang``: never end, whatever signal comes
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

from runtime.http.scoreboard import Seat
from runtime.logs import configure_logging
from runtime.server import master, restarts, serving
from runtime.server.listener import listen
from runtime.server.server import run_server
from runtime.server.worker import MakeService, Worker, run_worker
from runtime.settings import LogFormat, LogLevel

HOUR = 3600.0
DAY = 24 * HOUR

log = logging.getLogger("cpu2vec")


@dataclass(frozen=True)
class Plan:
    port: int
    scripts: list[str]
    drain_seconds: int = 3600
    log_format: str = "text"
    log_level: str = "info"
    delays: bool = True
    """Whether there is time between a worker's end and the next one's start."""
    ticks: bool = True
    """Whether the master looks after its workers when nothing happens."""
    wall_clock: str = ""
    """A file: while it exists, the wall clock leaps by a day whenever it is read."""
    monotonic_clock: str = ""
    """The same of the other clock, which goes on while a machine is paused."""
    loading: str = ""
    """The script that a worker follows before its application is there."""
    workers: int = 1


@dataclass(frozen=True)
class Service:
    age: int
    script: str
    on_ready: Callable[[], None]


def serve(service: Service, *_: object, **__: object) -> bool:
    """In place of ``serving.serve``."""
    # NOTE: blocked from here on, so that the script alone says when the signal is taken.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    log.info("worker %d runs", service.age)
    follow(service.script, service.on_ready)
    log.info("worker %d has finished", service.age)
    return True


def follow(script: str, on_ready: Callable[[], None]) -> None:
    words = script.split()
    while words:
        match words.pop(0):
            case "ready":
                on_ready()
                log.info("is ready")
            case "wait":
                signal.sigwait([signal.SIGTERM])
                log.info("was asked to end")
            case "exit":
                sys.exit(int(words.pop(0)))
            case "signal":
                os.kill(os.getpid(), int(words.pop(0)))
            case "raise":
                raise ValueError("as planned")
            case "hang":
                log.info("hangs")
                time.sleep(DAY)


class LeapingClock:
    """The clock of a machine that is paused for a day, or whose time is set, whenever it is read."""

    def __init__(self, clock: Callable[[], float], switch: Path) -> None:
        self._clock, self._switch, self._ahead = clock, switch, 0.0

    def __call__(self) -> float:
        if self._switch.exists():
            self._ahead += DAY
        return self._clock() + self._ahead


class UntickedMaster(master.Master):
    def wait_for_signals(self, timeout: float = HOUR) -> list[int]:
        return super().wait_for_signals(HOUR)


def main() -> None:
    plan = Plan(**json.loads(sys.argv[1]))
    configure_logging(LogLevel(plan.log_level), LogFormat(plan.log_format))
    if not plan.delays:
        restarts.DELAYS = (0.0,)
    if not plan.ticks:
        mock.patch.object(master, "Master", UntickedMaster).start()
    if plan.wall_clock:
        time.time = LeapingClock(time.time, Path(plan.wall_clock))
    if plan.monotonic_clock:
        time.monotonic = LeapingClock(time.monotonic, Path(plan.monotonic_clock))

    def run(_: MakeService, listener: socket.socket, worker: Worker, seat: Seat) -> NoReturn:
        def make(_: Seat, on_ready: Callable[[], None]) -> Any:
            # NOTE: a real worker notes the signal, and ends once it has loaded; a script would never know.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            follow(plan.loading, on_ready)
            return Service(worker.age, plan.scripts[min(worker.age, len(plan.scripts)) - 1], on_ready)

        run_worker(make, listener, worker, seat)

    def make_none(_: Seat, __: Callable[[], None]) -> NoReturn:
        raise AssertionError("each worker has a service of its own")

    mock.patch.object(serving, "serve", serve).start()
    with listen(plan.port) as listener:
        run_server(make_none, listener, plan.drain_seconds, plan.workers, run)


main()
