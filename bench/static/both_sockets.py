"""Serves as ``python -m runtime`` does, and on a Unix socket as well: ``python -m bench.static.both_sockets PATH``."""

from __future__ import annotations

import socket
import sys
from typing import Any

from runtime.main import main
from runtime.server import server
from runtime.server.listener import BACKLOG
from runtime.server.master import Master


class Accepted(socket.socket):
    """A socket that takes the options of TCP without effect."""

    def setsockopt(self, level: int, option: int, value: Any, *rest: Any) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, option, value, *rest)


class UnixListener(socket.socket):
    """Listens on a path."""

    def accept(self) -> tuple[Accepted, Any]:
        accepted, address = super().accept()
        return Accepted(fileno=accepted.detach()), address


def with_unix_socket(path: str) -> type[Master]:
    """A master that listens on the path as well."""

    class Both(Master):
        def __init__(self, app: Any, listener: socket.socket) -> None:
            super().__init__(app, listener)
            unix = UnixListener(socket.AF_UNIX)
            unix.bind(path)
            unix.listen(BACKLOG)
            unix.setblocking(False)
            self.LISTENERS.append(unix)

    return Both


if __name__ == "__main__":
    server.Master = with_unix_socket(sys.argv[1])  # type: ignore[attr-defined]
    main()
