"""Serves on a worker's event loop, from the first probe to the end of the drain."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

import uvloop

from runtime.api.body import AsgiApp
from runtime.http.http_server import HttpServer
from runtime.http.limits import HttpLimits
from runtime.http.scoreboard import Seat

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


def serve(service: Service, sockets: Sequence[socket.socket], seat: Seat, must_end: Callable[[], bool]) -> bool:
    """Serve until SIGTERM, then drain. Return whether all went well: the model works, and no request was cut off.

    ``must_end``: whether to drain at once: SIGTERM came before there was an event loop.
    """
    return uvloop.run(_serve(service, sockets, seat, must_end))


async def _serve(service: Service, sockets: Sequence[socket.socket], seat: Seat, must_end: Callable[[], bool]) -> bool:
    server = HttpServer(service.app, sockets, service.limits, seat)
    loop = asyncio.get_running_loop()
    ending = _Ending(service, server)
    loop.add_signal_handler(signal.SIGTERM, ending.drain)
    loop.add_signal_handler(signal.SIGQUIT, server.end)
    if must_end():
        ending.drain()
    service.start(on_failure=lambda: loop.call_soon_threadsafe(ending.fail))
    cut = await server.serve()
    service.stop()
    if cut:
        log.error("%d request(s) in progress were cut off at the end", cut)
    return not cut and not ending.has_failed


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
