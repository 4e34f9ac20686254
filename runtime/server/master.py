"""The master process: starts the workers, replaces those that die, and ends all when the server is asked to end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger

from runtime.host.garbage import resume_collections
from runtime.host.memory import available_memory
from runtime.server.listener import BACKLOG
from runtime.server.restarts import Restarts
from runtime.server.worker import EXIT_FAILED, Worker
from runtime.server.worker_pool import WorkerPool, unblock_signals

CLEAN_ENDS = frozenset({0, -signal.SIGTERM, -signal.SIGINT})
"""How a worker may end once it was asked to, negative for a signal: one that still loads dies of the signal itself."""

KILL_SECONDS = 2.0
"""How long the kernel may take to end a process that was killed."""

log = logging.getLogger("cpu2vec")


class PlainLogger(Logger):
    """gunicorn's logger without handlers of its own: it writes as all others do."""

    def setup(self, cfg: Config) -> None:
        self.error_log.propagate = self.access_log.propagate = True


@dataclass(frozen=True)
class Configured:
    """What gunicorn's arbiter reads of an application. The workers make theirs themselves."""

    cfg: Config


def configuration(drain_seconds: int, workers: int) -> Configured:
    """gunicorn's settings. The master kills a worker a second after the ``drain_seconds`` that it gives itself."""
    options: dict[str, Any] = {
        "worker_class": Worker,
        "workers": workers,
        "timeout": 0,
        "graceful_timeout": drain_seconds + 1,
        "backlog": BACKLOG,
        "control_socket_disable": True,
        "logger_class": PlainLogger,
    }
    config = Config()
    for name, value in options.items():
        config.set(name, value)
    return Configured(config)


class Master(Arbiter):
    """gunicorn's arbiter with rules of its own for workers that end, for signals, and for the time to drain.

    There is no heartbeat: an event loop that hangs is for the liveness probe to find.
    """

    def __init__(self, app: Configured, listener: socket.socket, pool: WorkerPool) -> None:
        """``pool``: its first workers have been started, and it holds signals back."""
        super().__init__(app)
        self.LISTENERS, self.WORKERS = [listener], pool.running
        # NOTE: nohup starts a server that ignores it, which is then meant to outlive the terminal.
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            self.SIGNALS: list[int] = [number for number in Arbiter.SIGNALS if number != signal.SIGHUP]
        self._pool = pool
        self._restarts = Restarts()
        self._next_start = 0.0
        self._is_stopping = False
        self._exit_status = 0

    def run(self) -> NoReturn:
        """Serve until a signal ends the server. Raises ``SystemExit``."""
        resume_collections()
        super().run()
        raise AssertionError("gunicorn's loop has no end")

    def init_signals(self) -> None:
        super().init_signals()
        unblock_signals()

    def handle_term(self) -> NoReturn:
        """End: not ready, finish what is in flight, then exit. The other signals that end a server do the same."""
        self._end_on(signal.SIGTERM)

    def handle_int(self) -> NoReturn:
        self._end_on(signal.SIGINT)

    def handle_quit(self) -> NoReturn:
        self._end_on(signal.SIGQUIT)

    def handle_hup(self) -> NoReturn:
        """The terminal was closed."""
        self._end_on(signal.SIGHUP)

    def handle_usr1(self) -> None:
        """Nothing: gunicorn would reopen log files, add or remove a worker, or start a second master."""

    handle_usr2 = handle_ttin = handle_ttou = handle_winch = handle_usr1

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Wait no longer than until the next worker may start."""
        if len(self.WORKERS) < self.num_workers and not self._is_stopping:
            timeout = min(timeout, max(0.0, self._next_start - time.monotonic()))
        return list(super().wait_for_signals(timeout))

    def manage_workers(self) -> None:
        while len(self.WORKERS) < self.num_workers and time.monotonic() >= self._next_start:
            self.spawn_worker()

    def spawn_worker(self) -> None:
        self._pool.start_one()

    def reap_workers(self) -> None:
        """Raises ``HaltServer`` where there is no use in starting another worker."""
        for pid, status in _ended_children():
            worker = self._pool.remove(pid)
            if worker is None:
                continue  # an orphan of other processes, which process 1 of a container inherits
            ready_at = worker.tmp.ready_at
            worker.tmp.close()
            self._worker_ended(pid, os.waitstatus_to_exitcode(status), ready_at)

    def stop(self, graceful: bool = True) -> None:
        """Have the workers drain, and kill those that have not ended by then. Another SIGINT or SIGQUIT kills now."""
        self._is_stopping = True
        for listener in self.LISTENERS:
            listener.close()
        self.LISTENERS = []
        self.kill_workers(signal.SIGTERM)
        self._wait_for_workers(self.cfg.graceful_timeout, hurry=frozenset({signal.SIGINT, signal.SIGQUIT}))
        if self.WORKERS:
            count = len(self.WORKERS)
            late = (
                f"{count} workers, which have not finished their"
                if count > 1
                else "the worker, which has not finished its"
            )
            log.error("killing %s requests", late)
            self.kill_workers(signal.SIGKILL)
            self._wait_for_workers(KILL_SECONDS)

    def halt(self, reason: str | None = None, exit_status: int = 0) -> NoReturn:
        self.stop()
        if exit_status == 0:
            exit_status = self._exit_status
            log.log(logging.ERROR if exit_status else logging.INFO, "stopped with exit status %d", exit_status)
        sys.exit(exit_status)

    def _end_on(self, number: signal.Signals) -> NoReturn:
        log.info("stopping on %s", number.name)
        raise StopIteration

    def _wait_for_workers(self, seconds: float, hurry: frozenset[int] = frozenset()) -> None:
        """Wait until all workers have ended, for at most so many seconds, or until one of the signals comes."""
        deadline = time.monotonic() + seconds
        while self.WORKERS and (left := deadline - time.monotonic()) > 0:
            if hurry.intersection(self.wait_for_signals(min(left, 1.0))):
                return
            self.reap_workers()

    def _worker_ended(self, pid: int, code: int, ready_at: float | None) -> None:
        """``code``: the exit status, or a signal's number, negated. Raises ``HaltServer``."""
        if self._is_stopping:
            self._worker_ended_as_asked(pid, code)
            return
        if code == EXIT_FAILED and ready_at is None:
            raise HaltServer("the worker has said why", EXIT_FAILED)
        log.error("the worker (process %d) %s", pid, how_it_ended(code, available_memory()))
        now = time.monotonic()
        delay = self._restarts.worker_ended(now, ready_at)
        if delay is None:
            log.error("not serving: %s", self._restarts.why_to_give_up)
            raise HaltServer("workers end again and again", EXIT_FAILED)
        self._next_start = now + delay
        self._pool.scoreboard.figures.count_restart()
        log.info("starting another worker%s", f" in {delay:g} s" if delay else "")

    def _worker_ended_as_asked(self, pid: int, code: int) -> None:
        if code in CLEAN_ENDS:
            return
        self._exit_status = EXIT_FAILED
        if code != EXIT_FAILED:  # else the worker has said what was cut
            log.error("the worker (process %d) %s while draining", pid, how_it_ended(code, available_memory()))


def how_it_ended(code: int, memory_bytes: int) -> str:
    """``code``: the exit status, or a signal's number, negated. ``memory_bytes``: what the container may use."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a signal"
    ended = f"was ended by {name} (signal {-code})"
    if -code != signal.SIGKILL:
        return ended
    limit = "" if memory_bytes == sys.maxsize else f" of {memory_bytes / 1e6:,.0f} MB"
    return f"{ended}, perhaps because the memory{limit} did not suffice"


def _ended_children() -> Iterator[tuple[int, int]]:
    """The process id and the wait status of each child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status
