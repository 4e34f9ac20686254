"""Runs programs as forks of a process that has imported their libraries, which takes most of a run.

A fork is a process like any other, with arguments, an environment, pipes, signals and an exit status of its own. Only
what libraries read of the environment while they are imported (HF_ENDPOINT, HF_HOME and others) is that of
``Interpreter.environment``.
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
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from build.cli import LIBRARY_SETTINGS
from build.fidelity.runtime_process import RUNTIME_PYTHON
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.programs.fork_server import MESSAGE_BYTES, Order
from tests.support.signals import restore_signals


@dataclass(frozen=True)
class Interpreter:
    """What forks are made of."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    """That in which modules are imported."""
    modules: tuple[str, ...]
    """They are imported before the first fork. None may start a thread."""


BUILD = Interpreter(
    (sys.executable,),
    # If libraries may have more than one thread, they start others while they are imported.
    {"PATH": os.defpath, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **LIBRARY_SETTINGS},
    (
        "build.pipeline",
        "build.progress",
        "build.summary",
        "build.fidelity.page",
        "build.fidelity.verify",
        "build.graph.optimize",
        "build.kinds.text",
        "build.native.lowering",
        "build.pytorch.export",
        "build.pytorch.head",
        "build.quantization.calibrate",
        "build.quantization.gptq",
        "build.quantization.quantize",
        "optimum.exporters.onnx.convert",
        "transformers.models.bert.modeling_bert",
        "transformers.models.bert.tokenization_bert_fast",
    ),
)
"""With what a build imports sooner or later."""

RUNTIME = Interpreter(
    (str(RUNTIME_PYTHON), "-W", "error"),
    {"PATH": os.defpath},
    (
        "runtime.main",
        "runtime.service",
        "runtime.api.app",
        "runtime.api.meta",
        "runtime.kinds.text",
        "runtime.server.server",
        "onnxruntime",
        "tokenizers",
        "uvloop",
    ),
)
"""With what a server imports before it is ready."""


class Fork:
    """A running program, with the part of ``subprocess.Popen`` that tests need."""

    def __init__(self, status: socket.socket) -> None:
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
            # NOTE: it may have ended, and its status be under way.
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill it if it still runs."""
        self.kill()
        self.wait()
        self._status.close()

    def _read(self, timeout: float = PATIENCE) -> int:
        self._status.settimeout(timeout)
        message = self._status.recv(MESSAGE_BYTES)
        assert message, "the process that forks are made of has ended"
        return int(message)


class PipedFork(Fork):
    """What it writes can be read."""

    def __init__(self, stdout: IO[str], stderr: IO[str], status: socket.socket) -> None:
        super().__init__(status)
        self.stdout = stdout
        self.stderr = stderr

    def communicate(self, timeout: float = PATIENCE) -> tuple[str, str]:
        """What the program has written when it ends."""
        with ThreadPoolExecutor(2) as pool:
            stdout, stderr = pool.submit(self.stdout.read), pool.submit(self.stderr.read)
            try:
                self.wait(timeout)
            except TimeoutError:
                self.kill()
                raise
            return stdout.result(), stderr.result()

    def close(self) -> None:
        super().close()
        self.stdout.close()
        self.stderr.close()


class Forks:
    """Starts programs. The process that they are forks of starts with the first, and ends with ``close``."""

    def __init__(self, interpreter: Interpreter = BUILD) -> None:
        self._interpreter = interpreter
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
    ) -> Iterator[PipedFork]:
        """A program, killed at the end if it still runs.

        ``command``: what follows the interpreter's name. ``file_bytes``, ``mounts``: see ``Order``.
        """
        words = [str(word) for word in command]
        mounts_file = str(mounts) if mounts else None
        order = Order(
            words,
            str(directory),
            dict(environment),
            file_bytes,
            mounts_file,
            leads_group=False,
            takes_libraries_apart=False,
        )
        fork = self._piped(order)
        try:
            yield fork
        finally:
            fork.close()

    @contextmanager
    def leading(self, command: Sequence[str], environment: Mapping[str, str], output: IO[bytes]) -> Iterator[Fork]:
        """A program with a process group of its own that writes all to ``output``, killed if it still runs."""
        order = Order(
            list(command),
            str(ROOT),
            dict(environment),
            file_bytes=None,
            mounts=None,
            leads_group=True,
            takes_libraries_apart=True,
        )
        fork = Fork(self._start(order, output.fileno(), output.fileno()))
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

    def _piped(self, order: Order) -> PipedFork:
        stdout, stdout_end = os.pipe()
        stderr, stderr_end = os.pipe()
        try:
            status = self._start(order, stdout_end, stderr_end)
        finally:
            os.close(stdout_end)
            os.close(stderr_end)
        return PipedFork(os.fdopen(stdout), os.fdopen(stderr), status)

    def _start(self, order: Order, stdout: int, stderr: int) -> socket.socket:
        """Where the process id and the exit status arrive."""
        status, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its_end:
            message = json.dumps(asdict(order)).encode()
            socket.send_fds(self._orders(), [message], [stdout, stderr, its_end.fileno()])
        return status

    def _orders(self) -> socket.socket:
        if self._server is None:
            orders, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            given = self._interpreter
            with its_end:
                process = subprocess.Popen(
                    [*given.command, "-m", "tests.support.programs.fork_server", str(its_end.fileno()), *given.modules],
                    cwd=ROOT,
                    env={"HOME": self._home.name, **given.environment},
                    pass_fds=[its_end.fileno()],
                    preexec_fn=restore_signals,
                )
            self._server = process, orders
        return self._server[1]
