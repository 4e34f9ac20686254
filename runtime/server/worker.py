"""The worker process: uvicorn on the event loop, from the first probe to the drain."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar, Protocol

import uvicorn
from gunicorn.arbiter import Arbiter
from uvicorn_worker import UvicornWorker

from runtime.api.body import AsgiApp
from runtime.server.http_protocol import BoundedHttpProtocol

DRAIN_SECONDS = 7
"""Below the 10 s after which `docker stop` kills."""


class Service(Protocol):
    """What a worker serves: an application and the state behind it."""

    app: AsgiApp

    def start(self, on_failure: Callable[[], object]) -> None:
        """Begin to warm up; called on the event loop. ``on_failure``, thread-safe, ends the server for good."""

    def drain(self) -> None:
        """Take no new work."""

    @property
    def is_idle(self) -> bool:
        """Whether no work is in flight."""

    def stop(self) -> None:
        """Release threads; called when no work is left."""


class DrainingServer(uvicorn.Server):
    """On SIGTERM: not ready, finish what is in flight while probes are still answered, then close what is idle."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._draining = False
        self.failed = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.drain()
        self._draining = True
        if self._service.is_idle:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self._draining and self._service.is_idle:
            self.should_exit = True
        return await super().on_tick(counter)

    def fail(self) -> None:
        """End, so that the process's exit status tells gunicorn not to start another worker."""
        self.failed = True
        self.should_exit = True


class Worker(UvicornWorker):
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": BoundedHttpProtocol,
        "ws": "none",
        "lifespan": "off",
        "proxy_headers": False,
        "server_header": False,
        "date_header": False,
        "timeout_graceful_shutdown": DRAIN_SECONDS,
    }

    async def _serve(self) -> None:
        service: Service = self.wsgi
        self.config.app = service.app
        server = DrainingServer(self.config, service)
        self._install_sigquit_handler()
        loop = asyncio.get_running_loop()
        service.start(on_failure=lambda: loop.call_soon_threadsafe(server.fail))
        await server.serve(sockets=self.sockets)
        service.stop()
        if server.failed or not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
