"""Workers are forked before the master has handlers, and signals wait for these."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from runtime.http.scoreboard import Seat
from runtime.server.worker import Worker
from runtime.server.worker_pool import SIGNALS, Run, WorkerPool, unblock_signals


@pytest.fixture(autouse=True)
def _no_signal_stays_blocked() -> Iterator[None]:
    yield
    unblock_signals()


def reporting(report: Callable[[Worker, Seat], str]) -> tuple[Run, int]:
    """A worker that writes a line to a pipe and ends, and the end of the pipe to read."""
    reading, writing = os.pipe()

    def run(worker: Worker, seat: Seat) -> NoReturn:
        os.write(writing, (report(worker, seat) + "\n").encode())
        os._exit(0)

    return run, reading


def wait_for_all(pool: WorkerPool) -> None:
    for pid in list(pool.running):
        os.waitpid(pid, 0)
        worker = pool.remove(pid)
        assert worker is not None
        worker.tmp.close()


def test_each_worker_has_a_seat_of_its_own():
    run, reports = reporting(lambda worker, seat: f"{worker.number} {worker.age} {seat.number} {worker.pid}")
    pool = WorkerPool(run, 3)
    pool.start_first()
    expected = {f"{number} {number + 1} {number} {pid}" for number, pid in enumerate(pool.running)}
    wait_for_all(pool)
    assert set(os.read(reports, 1000).decode().splitlines()) == expected


def test_a_successor_takes_the_seat_that_is_free():
    run, _ = reporting(lambda worker, seat: "")
    pool = WorkerPool(run, 3)
    pool.start_first()
    second = list(pool.running)[1]
    os.waitpid(second, 0)
    ended = pool.remove(second)
    assert ended is not None
    ended.tmp.close()
    pool.start_one()
    assert [(worker.number, worker.age) for worker in pool.running.values()] == [(0, 1), (2, 3), (1, 4)]
    wait_for_all(pool)
    assert pool.remove(second) is None


# A process of its own, with one thread as the master has: of the threads of a test run, another may take the signal.
EARLY_SIGNAL = """
import os, signal, sys
from runtime.server.worker_pool import WorkerPool, unblock_signals

seen = []
signal.signal(signal.SIGTERM, lambda *_: seen.append("too early"))
pool = WorkerPool(lambda worker, seat: sys.exit(0), 1)
pool.start_first()
os.kill(os.getpid(), signal.SIGTERM)
signal.signal(signal.SIGTERM, lambda *_: seen.append("handled"))
print(seen, len(os.listdir("/proc/self/task")))
unblock_signals()
print(seen)
[pid] = pool.running
os.waitpid(pid, 0)
"""


def test_signals_wait_for_the_masters_handlers():
    result = subprocess.run([sys.executable, "-c", EARLY_SIGNAL], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "[] 1\n['handled']\n", "")


def test_a_worker_blocks_no_signal_and_has_no_handler_of_the_master():
    def state(_: Worker, __: Seat) -> str:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return f"{len(blocked)} {all(signal.getsignal(number) is signal.SIG_DFL for number in SIGNALS)}"

    run, reports = reporting(state)
    pool = WorkerPool(run, 1)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        pool.start_first()
    finally:
        signal.signal(signal.SIGTERM, before)
    wait_for_all(pool)
    assert os.read(reports, 1000).decode() == "0 True\n"


FIRST_WORKER = """
import socket, sys
from runtime.logs import configure_logging
from runtime.server.server import run_server
from runtime.settings import LogFormat, LogLevel

def run(*_):
    print([name for name in sys.modules if name.startswith("gunicorn")], flush=True)
    sys.exit(3)

with socket.create_server(("127.0.0.1", 0)) as listener:
    configure_logging(LogLevel.INFO, LogFormat.TEXT)
    run_server(None, listener, 1, run=run)
"""


def test_the_first_worker_starts_before_gunicorn_is_imported():
    command = [sys.executable, "-c", FIRST_WORKER]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (3, "[]\n"), result.stderr
