"""Runs the application under gunicorn: a master, and worker processes with an event loop each."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from runtime.errors import describe
from runtime.host.garbage import pause_collections, resume_collections
from runtime.http.scoreboard import Seat
from runtime.http.turns import Stage
from runtime.server.listener import BACKLOG
from runtime.server.master import EXIT_FAILED, Master
from runtime.server.ready_mark import ReadyMark, replace_heartbeat_files
from runtime.server.worker import Worker

if TYPE_CHECKING:
    from runtime.server.serving import Service

log = logging.getLogger("cpu2vec")

MakeService = Callable[[Seat, Callable[[], None]], "Service"]
"""Takes the seat of its worker, and what the service calls once it is ready."""


class Server(BaseApplication):
    """gunicorn with its workers. ``make_service`` runs in each, so that no session exists before the fork."""

    ready_mark: ReadyMark
    seat: Seat
    """Those of the worker. The master sets them in the worker's process."""
    serve: Callable[..., bool]
    """``serving.serve``, from ``load`` on."""

    def __init__(
        self,
        make_service: MakeService,
        listener: socket.socket,
        drain_seconds: int,
        log_config: dict[str, object],
        worker_class: type = Worker,
        workers: int = 1,
    ) -> None:
        """``drain_seconds``: what a worker gives itself to drain; the master kills it a second later."""
        self._make_service, self._listener = make_service, listener
        self._options: dict[str, Any] = {
            "worker_class": worker_class,
            "workers": workers,
            "timeout": 0,
            "graceful_timeout": drain_seconds + 1,
            "backlog": BACKLOG,
            "control_socket_disable": True,
            "logconfig_dict": log_config,
        }
        replace_heartbeat_files()
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Service:
        pause_collections()
        # NOTE: a terminal that is closed hangs up on all processes, and the master alone decides what that means.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            # PERF: imported in the worker, so that the master never loads asyncio, uvloop and the HTTP server.
            from runtime.server.serving import serve

            self.serve = serve
            return self._make_service(self.seat, self._note_ready)
        except Exception as error:
            if self.seat.has_last_word():
                log.error("not serving: %s", describe(error))
                log.debug("where it failed:", exc_info=error)
            sys.exit(EXIT_FAILED)

    def _note_ready(self) -> None:
        self.ready_mark.set()
        self.seat.enter(Stage.READY)

    def run(self) -> None:
        """Serve until a signal ends the server. Raises ``SystemExit``."""
        master = Master(self, self._listener)
        resume_collections()
        master.run()
