"""One started server: its start until it is ready, what it uses, its restart, and its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from bench import process_tree
from bench.errors import ServerFailed
from bench.process_tree import Memory
from bench.report.machine import children_cpu_seconds

START_SECONDS = 300.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.005
READY_REQUEST = b"GET /.well-known/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


class Server:
    """A server that is ready; ``start_seconds`` is the time from exec until ``/.well-known/ready`` answered 2xx."""

    def __init__(self, command: Sequence[str | Path], port: int, environment: Mapping[str, str], folder: Path) -> None:
        """Raises ``ServerFailed`` with the last line that the server wrote."""
        self.port = port
        self.reaped_cpu_seconds = 0.0
        """CPU time of the processes that have ended; this process's children have used it, too."""
        self._command, self._environment, self._folder = list(command), dict(environment), folder
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self.start_seconds = self._start()

    def _start(self) -> float:
        """Start the process, and return after how many seconds it was ready."""
        start = time.perf_counter()
        try:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,  # Ctrl-C reaches this program alone, which then stops the server in order
            )
        except OSError as error:
            self._log.close()
            raise ServerFailed(f"the server cannot be started ({error}): run `make setup`") from None
        try:
            while not self._is_ready():
                if self._process.poll() is not None or time.perf_counter() - start > START_SECONDS:
                    raise ServerFailed(f"the server does not become ready: {self._last_line()}")
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.stop()
            raise
        return time.perf_counter() - start

    def restart(self) -> None:
        """As ``docker restart`` does it: end the process, and start its successor at once on the same port.

        Returns once the successor is ready. Raises ``ServerFailed``.
        """
        self._end()
        self._start()

    def check_alive(self) -> None:
        """Raises ``ServerFailed``."""
        if self._process.poll() is not None:
            raise ServerFailed(f"the server ended with status {self._process.returncode}: {self._last_line()}")

    @property
    def pid(self) -> int:
        """That of the first of its processes."""
        return self._process.pid

    def output(self) -> str:
        """All that it has written. To be called once it has ended: it writes where this reads."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def memory(self) -> Memory:
        return process_tree.memory(process_tree.tree(self._process.pid))

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far, and of those before a restart."""
        return self.reaped_cpu_seconds + process_tree.cpu_seconds(process_tree.tree(self._process.pid))

    def stop(self) -> None:
        """Ask the server to end, and kill it with its child processes if it does not."""
        self._end()
        self._log.close()

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()

    def wait_for_end(self, seconds: float = STOP_SECONDS) -> int:
        """Wait so long for the end that was asked for, and kill all of its processes then; return the exit status."""
        before = children_cpu_seconds()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # of its own session, so of its own group
            self._process.wait()
        self.reaped_cpu_seconds += children_cpu_seconds() - before
        return self._process.returncode

    def _end(self) -> None:
        self.ask_to_end()
        self.wait_for_end()

    def _is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=START_SECONDS) as connection:
                connection.sendall(READY_REQUEST)
                return connection.recv(64)[9:10] == b"2"
        except OSError:
            return False

    def _last_line(self) -> str:
        lines = [line for line in self.output().splitlines() if line.strip()]
        return lines[-1] if lines else "it wrote no reason"


def free_port() -> int:
    """A TCP port on which nothing listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
