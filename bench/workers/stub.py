"""Serves the same vector for every text, after an inference thread has slept: many cores on a machine with few.

``python -m bench.workers.stub`` runs in the runtime's environment. It takes one argument, a JSON object with the fields
of ``Plan``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.text_endpoint import TextEndpoint
from runtime.api.app import create_app
from runtime.api.vectors_fields import vector_answer
from runtime.http.limits import Draining, HttpLimits
from runtime.http.scoreboard import Seat
from runtime.logs import configure_logging
from runtime.readiness import Readiness
from runtime.scheduling.scheduler import Scheduler
from runtime.server.listener import listen
from runtime.server.server import run_server
from runtime.settings import LogFormat, LogLevel
from runtime.static.no_runs import NoRuns

Vector = NDArray[np.float32]
Submit = Callable[[str], Coroutine[Any, Any, Vector]]


@dataclass(frozen=True)
class Plan:
    port: int
    workers: int
    threads: int
    """Of each worker."""
    seconds: float
    """For which a text keeps a thread."""
    dim: int
    least_busy: bool
    """Whether the least busy worker takes a connection, and not whoever wakes first."""
    counts: str
    """A directory: each worker writes the number of its answers to a file there when it ends."""


class SleepingEndpoint(TextEndpoint):
    """Implements ``Endpoint``."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self.answers = 0

    async def answer(self, item: str, deadline: float | None) -> bytes:
        vector = await self._submit(item)
        self.answers += 1
        return vector_answer(item, vector)


class SleepingService:
    """Implements ``serving.Service`` with the scheduler and the HTTP side of every model, and without one."""

    def __init__(self, plan: Plan, seat: Seat, on_ready: Callable[[], object]) -> None:
        self._scheduler: Scheduler[Vector] = Scheduler(lambda _: sleep(plan), NoRuns, plan.threads)
        self._endpoint = SleepingEndpoint(self._scheduler.submit)
        self._counts, self._on_ready = Path(plan.counts) / str(seat.number), on_ready
        self._readiness = Readiness(seat.all_have_been_ready)
        self.app: Any = create_app({"/vectors": self._endpoint}, {}, self._readiness)
        self.limits = HttpLimits(draining=Draining(longest=0.5))

    def start(self, on_failure: Callable[[], object]) -> None:
        self._scheduler.start()
        self._readiness.started()
        self._on_ready()

    def drain(self) -> None:
        self._readiness.drain()

    def stop(self) -> None:
        self._scheduler.stop()
        self._counts.write_text(str(self._endpoint.answers))


def sleep(plan: Plan) -> Generator[Any, Any, Vector]:
    """The steps of a job: one, which takes as long as a run of a model."""
    yield from ()
    time.sleep(plan.seconds)
    return np.linspace(-1, 1, plan.dim, dtype=np.float32)


def main(plan: Plan) -> None:
    """Serve until SIGTERM."""

    def make(seat: Seat, on_ready: Callable[[], None]) -> SleepingService:
        if not plan.least_busy:
            seat.whose_turn = lambda: seat.number  # type: ignore[method-assign]
        return SleepingService(plan, seat, on_ready)

    configure_logging(LogLevel.WARNING, LogFormat.TEXT)
    with listen(plan.port) as listener:
        run_server(make, listener, 1, plan.workers)


if __name__ == "__main__":
    main(Plan(**json.loads(sys.argv[1])))
