"""Serves the same vector for every text: what this project's HTTP server reaches without a model.

``python -m bench.static.stub DIM`` runs in the runtime's environment, with the runtime's settings and its defaults.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.text_endpoint import TextEndpoint
from runtime.api.app import create_app
from runtime.api.vectors_fields import vector_answer
from runtime.host.capacity import measure_capacity
from runtime.http.limits import Deadlines, Draining, HttpLimits, Memory
from runtime.logs import configure_logging
from runtime.readiness import Readiness
from runtime.server.listener import listen
from runtime.server.server import run_server
from runtime.settings import DEFAULT_MAX_BODY_BYTES, Settings, read_settings


class SameVector(TextEndpoint):
    """Implements ``Endpoint``: reads requests and writes answers as every kind of model does."""

    def __init__(self, dim: int) -> None:
        self._vector = np.linspace(-1, 1, dim, dtype=np.float32)

    async def answer(self, item: str, deadline: float | None) -> bytes:
        return vector_answer(item, self._vector)


class StubService:
    """Implements ``serving.Service`` without a model; it is ready at once."""

    def __init__(self, dim: int, limits: HttpLimits, on_ready: Callable[[], object]) -> None:
        self._readiness, self._on_ready = Readiness(), on_ready
        self.app: Any = create_app({"/vectors": SameVector(dim)}, {}, self._readiness)
        self.limits = limits

    def start(self, on_failure: Callable[[], object]) -> None:
        self._readiness.started()
        self._on_ready()

    def drain(self) -> None:
        self._readiness.drain()

    def stop(self) -> None:
        pass


def limits_of(settings: Settings) -> HttpLimits:
    max_body = settings.max_body_bytes or DEFAULT_MAX_BODY_BYTES
    return HttpLimits(
        Deadlines(request=settings.request_seconds, age=settings.connection_seconds),
        memory=Memory.of(measure_capacity(settings.threads).memory_bytes, max_body),
        draining=Draining(settings.linger_seconds, settings.drain_seconds),
    )


def main(dim: int) -> None:
    """Serve until SIGTERM."""
    settings = read_settings()
    configure_logging(settings.log_level, settings.log_format)
    with listen(settings.port) as listener:
        run_server(
            lambda seat, on_ready: StubService(dim, limits_of(settings), on_ready),
            listener,
            settings.drain_seconds,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]))
