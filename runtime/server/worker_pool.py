"""Forks the workers, and knows those that run."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from runtime.host.parent import end_with_parent
from runtime.http.scoreboard import Scoreboard, Seat
from runtime.server.worker import Worker

SIGNALS = frozenset(
    {
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGCHLD,
    }
)
"""What the master has handlers for."""

Run = Callable[[Worker, Seat], NoReturn]
"""The life of a worker process."""

log = logging.getLogger("cpu2vec")


class WorkerPool:
    """The workers of one server. Those that run are in ``running``, by process id."""

    def __init__(self, run: Run, size: int) -> None:
        self.size = size
        self.scoreboard = Scoreboard(size)
        self.running: dict[int, Worker] = {}
        self._run, self._started = run, 0

    def start_first(self) -> None:
        """Fork all workers, and block the master's signals until it has handlers for them: see ``unblock_signals``."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        while len(self.running) < self.size:
            self.start_one()

    def start_one(self) -> None:
        """Fork a worker for the first free seat."""
        self._started += 1
        taken = {other.number for other in self.running.values()}
        worker = Worker(next(number for number in range(self.size) if number not in taken), self._started)
        master = os.getpid()
        # NOTE: a signal for the worker must not meet the master's handlers, which would only put it into a queue.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._be(worker, master)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        worker.pid = pid
        self.running[pid] = worker

    def remove(self, pid: int) -> Worker | None:
        """The worker of that process, which has ended; None if there is none."""
        worker = self.running.pop(pid, None)
        if worker:
            self.scoreboard.clear(worker.number)
        return worker

    def _be(self, worker: Worker, master: int) -> NoReturn:
        """What is left of the new process's life."""
        try:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            end_with_parent(master)
            for other in self.running.values():
                other.tmp.close()
            self.running.clear()
            worker.pid = os.getpid()
            self._run(worker, self.scoreboard.seat(worker.number))
        except Exception:
            log.exception("the worker failed")
            sys.exit(1)
        finally:
            worker.tmp.close()


def unblock_signals() -> None:
    """Take the signals that ``start_first`` has held back."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
