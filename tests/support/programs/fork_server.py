"""The process that forks are made of: ``python -m tests.support.programs.fork_server SOCKET``, started by forks.py.

It imports libraries, and runs none of their code: a fork keeps one thread alone, so there must be no other. Orders
arrive on the socket, each with three descriptors: standard output, standard error, and a socket for the fork's process
id and exit status. It ends when the other end of its socket is closed.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import resource
import runpy
import select
import socket
import sys
from dataclasses import dataclass

MESSAGE_BYTES = 65536

LIBRARIES = (
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
)
"""What a build imports sooner or later."""


@dataclass(frozen=True)
class Order:
    """What to run, in the words that follow the interpreter's name: a file, or ``-m`` and a module; and arguments."""

    command: list[str]
    directory: str
    environment: dict[str, str]
    file_bytes: int | None
    """No file may grow beyond this."""
    mounts: str | None
    """A file below /proc that stands for the mounts to see, instead of this process's."""

    def run(self) -> None:
        """Become the program."""
        if self.mounts is not None:
            see_mounts(self.mounts)
        os.environ.clear()
        os.environ.update(self.environment)
        os.chdir(self.directory)
        if self.file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_bytes, self.file_bytes))
        if self.command[0] == "-m":
            sys.argv = self.command[1:]
            runpy.run_module(self.command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(self.command)
            runpy.run_path(self.command[0], run_name="__main__")


def see_mounts(file: str) -> None:
    """Enter a mount namespace. Raises ``OSError``."""
    with open(file) as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), file)


class ForkServer:
    """Takes orders, and tells of each fork when it has ended."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._forks: dict[int, tuple[int, socket.socket]] = {}
        """A descriptor of each process, with its id and where its status is awaited."""

    def serve(self) -> Order | None:
        """In this process, None at the end; in each fork, what it is to run."""
        while True:
            for ready in select.select([self._orders.fileno(), *self._forks], [], [])[0]:
                if ready != self._orders.fileno():
                    self._tell(ready)
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._orders, MESSAGE_BYTES, 3)
                if not message:
                    return None
                if self._fork(*descriptors):
                    return Order(**json.loads(message))

    def _fork(self, stdout: int, stderr: int, status: int) -> bool:
        """Whether this process is the fork."""
        pid = os.fork()
        if pid == 0:
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            for descriptor in (stdout, stderr, status, self._orders.fileno(), *self._forks):
                os.close(descriptor)
            return True
        os.close(stdout)
        os.close(stderr)
        told = socket.socket(fileno=status)
        told.send(str(pid).encode())
        self._forks[os.pidfd_open(pid)] = (pid, told)
        return False

    def _tell(self, process: int) -> None:
        pid, told = self._forks.pop(process)
        os.close(process)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with told:
            told.send(str(status).encode())


def main() -> None:
    from build.cli import LIBRARY_SETTINGS

    os.environ.update(LIBRARY_SETTINGS)
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # PERF: else each of the build's collections goes through all that the libraries have made.
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, f"{len(threads)} threads: a fork would lose them, and what they hold"
    order = ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve()
    if order is not None:
        order.run()


if __name__ == "__main__":
    main()
