"""Runs the application in worker processes, under gunicorn's master."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import NoReturn

from runtime.http.scoreboard import Seat
from runtime.server.worker import MakeService, Worker, run_worker
from runtime.server.worker_pool import WorkerPool


def run_server(
    make_service: MakeService,
    listener: socket.socket,
    drain_seconds: int,
    workers: int = 1,
    run: Callable[[MakeService, socket.socket, Worker, Seat], NoReturn] = run_worker,
) -> NoReturn:
    """Serve until a signal ends the server.

    ``drain_seconds``: what a worker gives itself to drain; the master kills it a second later.
    """
    pool = WorkerPool(lambda worker, seat: run(make_service, listener, worker, seat), workers)
    pool.start_first()
    # PERF: gunicorn is imported while the workers load their models, and only here, where no answer waits for it.
    from runtime.server.master import Master, configuration

    Master(configuration(drain_seconds, workers), listener, pool).run()
