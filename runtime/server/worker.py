"""The process that serves: an event loop with the HTTP server, from the first probe to the end of the drain."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from typing import Protocol

import uvloop
from gunicorn.workers.base import Worker as GunicornWorker

from runtime.api.body import AsgiApp
from runtime.http.http_server import HttpServer
from runtime.http.limits import HttpLimits
from runtime.server.master import EXIT_FAILED

log = logging.getLogger("cpu2vec")


class Service(Protocol):
    """What a worker serves: an application and the state behind it."""

    app: AsgiApp
    limits: HttpLimits

    def start(self, on_failure: Callable[[], object]) -> None:
        """Begin to warm up; called on the event loop. ``on_failure``, thread-safe, ends the server for good."""

    def drain(self) -> None:
        """Report from now on that no new work should come. What comes is answered."""

    def stop(self) -> None:
        """Release threads; called when no work is left."""


class Worker(GunicornWorker):
    """Serves until SIGTERM, then drains. SIGINT is the master's: a terminal sends it to all."""

    def init_signals(self) -> None:
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH):
            signal.signal(number, signal.SIG_IGN)
        # NOTE: while the model loads, there is no event loop yet that could drain.
        signal.signal(signal.SIGTERM, self.handle_exit)

    def run(self) -> None:
        """Serve, and end the process with its status: 3 if it cannot serve, or had to cut requests off."""
        sys.exit(uvloop.run(self._serve()))

    async def _serve(self) -> int:
        service: Service = self.wsgi
        server = HttpServer(service.app, self.sockets, service.limits, self.app.seat)
        loop = asyncio.get_running_loop()
        ending = _Ending(service, server)
        loop.add_signal_handler(signal.SIGTERM, ending.drain)
        loop.add_signal_handler(signal.SIGQUIT, server.end)
        if not self.alive:
            ending.drain()
        service.start(on_failure=lambda: loop.call_soon_threadsafe(ending.fail))
        cut = await server.serve()
        service.stop()
        if cut:
            log.error("%d request(s) in progress were cut off at the end", cut)
        return EXIT_FAILED if cut or ending.has_failed else 0


class _Ending:
    """Why and how the server ends."""

    def __init__(self, service: Service, server: HttpServer) -> None:
        self._service, self._server = service, server
        self.has_failed = False

    def drain(self) -> None:
        """Tell the probes, and answer what still comes."""
        self._service.drain()
        self._server.drain()

    def fail(self) -> None:
        """End because the model does not work here."""
        self.has_failed = True
        self._server.end()
