"""The life of a worker process: its signals, its application, and its exit status."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from runtime.errors import describe
from runtime.host.garbage import pause_collections, resume_collections
from runtime.http.scoreboard import Seat
from runtime.http.turns import Stage
from runtime.server.ready_mark import ReadyMark

if TYPE_CHECKING:
    from runtime.server.serving import Service

EXIT_FAILED = 3
"""Status of a worker, and of the server: it cannot serve, or requests were cut while it drained."""

MakeService = Callable[[Seat, Callable[[], None]], "Service"]
"""Takes the seat of its worker, and what the service calls once it is ready."""

log = logging.getLogger("cpu2vec")


class Worker:
    """A worker process, as the master knows it. gunicorn reads some of its attributes."""

    def __init__(self, number: int, age: int) -> None:
        """``number``: of its seat. ``age``: 1 for the first worker of this server, 2 for the next, and so on."""
        self.number, self.age = number, age
        self.pid = 0
        self.tmp = ReadyMark()


def run_worker(make_service: MakeService, listener: socket.socket, worker: Worker, seat: Seat) -> NoReturn:
    """Serve until SIGTERM, then drain, and end the process with its status.

    ``make_service`` runs here, so that no session exists before the fork.
    """
    terminated = _Terminated()
    _init_signals(terminated)
    pause_collections()

    def note_ready() -> None:
        worker.tmp.set()
        seat.enter(Stage.READY)

    try:
        # PERF: imported in the worker, so that the master never loads asyncio, uvloop and the HTTP server.
        from runtime.server.serving import serve

        service = make_service(seat, note_ready)
    except Exception as error:
        if seat.has_last_word():
            log.error("not serving: %s", describe(error))
            log.debug("where it failed:", exc_info=error)
        sys.exit(EXIT_FAILED)
    resume_collections()
    is_well = serve(service, [listener], seat, must_end=lambda: terminated.is_set)
    sys.exit(0 if is_well else EXIT_FAILED)


class _Terminated:
    """Whether SIGTERM has come before there was an event loop that could drain."""

    is_set = False

    def __call__(self, *_: object) -> None:
        self.is_set = True


def _init_signals(on_term: Callable[..., None]) -> None:
    """A terminal sends SIGINT and SIGHUP to all processes, and the master alone decides what they mean."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, on_term)
