"""Runs the application under gunicorn: a master, and one worker process with an event loop."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication

from runtime.errors import describe
from runtime.server.listener import BACKLOG
from runtime.server.master import EXIT_FAILED, Master
from runtime.server.ready_mark import ReadyMark, replace_heartbeat_files
from runtime.server.worker import Service, Worker

log = logging.getLogger("cpu2vec")

MakeService = Callable[[Callable[[], None]], Service]
"""Takes what the service calls once it is ready."""


class Server(BaseApplication):
    """gunicorn with one worker. ``make_service`` runs in the worker, so that no session exists before the fork."""

    ready_mark: ReadyMark
    """That of the worker. The master sets it in the worker's process."""

    def __init__(
        self,
        make_service: MakeService,
        listener: socket.socket,
        drain_seconds: int,
        log_config: dict[str, object],
        worker_class: type = Worker,
    ) -> None:
        """``drain_seconds``: what a worker gives itself to drain; the master kills it a second later."""
        self._make_service, self._listener = make_service, listener
        self._options: dict[str, Any] = {
            "worker_class": worker_class,
            "workers": 1,
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
        # NOTE: a terminal that is closed hangs up on all processes, and the master alone decides what that means.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            return self._make_service(self.ready_mark.set)
        except Exception as error:
            log.error("not serving: %s", describe(error))
            log.debug("where it failed:", exc_info=error)
            sys.exit(EXIT_FAILED)

    def run(self) -> None:
        """Serve until a signal ends the server. Raises ``SystemExit``."""
        Master(self, self._listener).run()
