"""Runs the application under gunicorn: one worker process with an event loop, from the first probe to the drain."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from manifest import BundleError
from runtime.server import worker
from runtime.server.worker import Service, Worker

KEEP_ALIVE_SECONDS = 120
"""Longer than the 90 s for which Weaviate's client keeps an idle connection, or its imports break at random."""

SHARED_MEMORY = "/dev/shm"

log = logging.getLogger("cpu2vec")


class Server(BaseApplication):
    """gunicorn with one worker. ``make_service`` runs in the worker, so that no session exists before the fork."""

    def __init__(self, make_service: Callable[[], Service], port: int, log_config: dict[str, object]) -> None:
        self._make_service, self._port, self._log_config = make_service, port, log_config
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": [f"{every_address()}:{self._port}"],
            "worker_class": Worker,
            "workers": 1,
            "timeout": 60,
            "graceful_timeout": worker.DRAIN_SECONDS + 1,
            "keepalive": KEEP_ALIVE_SECONDS,
            "worker_tmp_dir": SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None,
            "control_socket_disable": True,
            "logconfig_dict": self._log_config,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Service:
        try:
            return self._make_service()
        except BundleError as error:
            log.error("not serving: %s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


def every_address() -> str:
    """The address that stands for all of this machine's: IPv6's, which takes IPv4 as well, where there is IPv6."""
    try:
        with socket.create_server(("::", 0), family=socket.AF_INET6):
            return "[::]"
    except OSError:
        return "0.0.0.0"
