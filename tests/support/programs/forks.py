"""Runs the build's programs as forks of a process that has imported their libraries, which takes most of a run.

A fork is a process like any other, with arguments, an environment, pipes, signals and an exit status of its own. Only
what libraries read of the environment while they are imported (HF_ENDPOINT, HF_HOME and others) is that of
``SETTINGS``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.programs.fork_server import MESSAGE_BYTES, Order
from tests.support.signals import restore_signals

SETTINGS = {"PATH": os.defpath, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
"""The environment in which libraries are imported. If they may have more than one thread, they start others then."""


class Fork:
    """A running program, with the part of ``subprocess.Popen`` that tests need."""

    def __init__(self, stdout: IO[str], stderr: IO[str], status: socket.socket) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._status = status
        self.pid = self._read()

    def poll(self) -> int | None:
        """The exit status, or None as long as the program runs."""
        return self.wait() if self.returncode is not None or select.select([self._status], [], [], 0)[0] else None

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit status, once the program has ended; negative for the signal that ended it."""
        if self.returncode is None:
            self.returncode = self._read(timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self, timeout: float = PATIENCE) -> tuple[str, str]:
        """What the program has written when it ends."""
        with ThreadPoolExecutor(2) as pool:
            stdout, stderr = pool.submit(self.stdout.read), pool.submit(self.stderr.read)
            try:
                self.wait(timeout)
            except TimeoutError:
                self.send_signal(signal.SIGKILL)
                raise
            return stdout.result(), stderr.result()

    def close(self) -> None:
        """Kill it if it still runs."""
        self.send_signal(signal.SIGKILL)
        self.wait()
        self.stdout.close()
        self.stderr.close()
        self._status.close()

    def _read(self, timeout: float = PATIENCE) -> int:
        self._status.settimeout(timeout)
        message = self._status.recv(MESSAGE_BYTES)
        assert message, "the process that forks are made of has ended"
        return int(message)


class Forks:
    """Starts programs. The process that they are forks of starts with the first, and ends with ``close``."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="home-of-forks-")
        self._server: tuple[subprocess.Popen[bytes], socket.socket] | None = None

    @contextmanager
    def started(
        self,
        command: Sequence[object],
        environment: Mapping[str, str],
        directory: Path = ROOT,
        file_bytes: int | None = None,
        mounts: Path | None = None,
    ) -> Iterator[Fork]:
        """A program, killed at the end if it still runs.

        ``command``: what follows the interpreter's name. ``file_bytes``, ``mounts``: see ``Order``.
        """
        words = [str(word) for word in command]
        fork = self._fork(Order(words, str(directory), dict(environment), file_bytes, str(mounts) if mounts else None))
        try:
            yield fork
        finally:
            fork.close()

    def run(
        self,
        command: Sequence[object],
        environment: Mapping[str, str],
        directory: Path = ROOT,
        file_bytes: int | None = None,
        mounts: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """The same, run to its end."""
        with self.started(command, environment, directory, file_bytes, mounts) as fork:
            stdout, stderr = fork.communicate()
            return subprocess.CompletedProcess([str(word) for word in command], fork.wait(), stdout, stderr)

    def close(self) -> None:
        if self._server is not None:
            process, orders = self._server
            orders.close()
            assert process.wait(PATIENCE) == 0
        self._home.cleanup()

    def _fork(self, order: Order) -> Fork:
        stdout, stdout_end = os.pipe()
        stderr, stderr_end = os.pipe()
        status, status_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ends = [stdout_end, stderr_end, status_end.detach()]
        try:
            socket.send_fds(self._orders(), [json.dumps(asdict(order)).encode()], ends)
        finally:
            for end in ends:
                os.close(end)
        return Fork(os.fdopen(stdout), os.fdopen(stderr), status)

    def _orders(self) -> socket.socket:
        if self._server is None:
            orders, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with its_end:
                process = subprocess.Popen(
                    [sys.executable, "-m", "tests.support.programs.fork_server", str(its_end.fileno())],
                    cwd=ROOT,
                    env=SETTINGS | {"HOME": self._home.name},
                    pass_fds=[its_end.fileno()],
                    preexec_fn=restore_signals,
                )
            self._server = process, orders
        return self._server[1]
