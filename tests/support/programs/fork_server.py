"""The process that forks are made of: ``python -m tests.support.programs.fork_server SOCKET MODULE...``.

forks.py starts it. It imports the modules, and runs none of their code: a fork keeps one thread alone, so there must be
no other. Orders arrive on the socket, each with three descriptors: standard output, standard error, and a socket for
the fork's process id and exit status. It ends when the other end of its socket is closed.
"""

from __future__ import annotations

import atexit
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
import threading
from dataclasses import dataclass
from typing import NoReturn

MESSAGE_BYTES = 65536


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
    leads_group: bool
    """Whether it gets a session and a process group of its own, with nothing on standard input."""
    takes_libraries_apart: bool
    """Whether it ends as an interpreter does, which takes PyTorch half a second."""

    def run(self) -> None:
        """Become the program, to its end."""
        status = 0
        try:
            self._run()
        except SystemExit as end:
            if self.takes_libraries_apart:
                raise
            status = exit_status(end)
        if not self.takes_libraries_apart:
            end_with(status)

    def _run(self) -> None:
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


def exit_status(end: SystemExit) -> int:
    """What the interpreter makes of it."""
    if end.code is None or isinstance(end.code, int):
        return (end.code or 0) & 0xFF
    print(end.code, file=sys.stderr)
    return 1


def end_with(status: int) -> NoReturn:
    """End this process once threads, exit functions and streams have finished."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


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
                order = Order(**json.loads(message))
                if self._fork(order, *descriptors):
                    return order

    def _fork(self, order: Order, stdout: int, stderr: int, status: int) -> bool:
        """Whether this process is the fork."""
        told = socket.socket(fileno=status)
        pid = os.fork()
        if pid == 0:
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            if order.leads_group:
                os.setsid()
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            told.send(str(os.getpid()).encode())
            for other in (told, self._orders, *(other for _, other in self._forks.values())):
                other.close()
            for descriptor in (stdout, stderr, *self._forks):
                os.close(descriptor)
            return True
        os.close(stdout)
        os.close(stderr)
        self._forks[os.pidfd_open(pid)] = (pid, told)
        return False

    def _tell(self, process: int) -> None:
        pid, told = self._forks.pop(process)
        os.close(process)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with told:
            told.send(str(status).encode())


def main() -> None:
    _, orders, *modules = sys.argv
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # PERF: else each of a fork's collections goes through all that the libraries have made.
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, f"{len(threads)} threads: a fork would lose them, and what they hold"
    with socket.socket(fileno=int(orders)) as incoming:
        order = ForkServer(incoming).serve()
    if order is not None:
        order.run()


if __name__ == "__main__":
    main()
