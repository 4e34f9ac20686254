"""Serves as ``python -m runtime`` does, and on a Unix socket as well: ``python -m bench.static.both_sockets PATH``."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any

from runtime.main import main
from runtime.server import serving
from runtime.server.listener import BACKLOG

Serve = Callable[..., bool]


class Accepted(socket.socket):
    """A socket that takes the options of TCP without effect."""

    def setsockopt(self, level: int, option: int, value: Any, *rest: Any) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, option, value, *rest)


class UnixListener(socket.socket):
    """Listens on a path."""

    def __init__(self, path: str) -> None:
        super().__init__(socket.AF_UNIX)
        self.bind(path)
        self.listen(BACKLOG)
        self.setblocking(False)

    def accept(self) -> tuple[Accepted, Any]:
        accepted, address = super().accept()
        return Accepted(fileno=accepted.detach()), address


def serving_also(serve: Serve, listener: socket.socket) -> Serve:
    """The same as ``serve``, on one more socket."""

    def serve_both(service: serving.Service, sockets: Sequence[socket.socket], *rest: Any, **options: Any) -> bool:
        return serve(service, [*sockets, listener], *rest, **options)

    return serve_both


if __name__ == "__main__":
    serving.serve = serving_also(serving.serve, UnixListener(sys.argv[1]))
    main()
