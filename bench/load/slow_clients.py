"""Clients that take connections and hardly use them: slow heads, slow bodies, and connections that are dropped."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import Self

from bench.errors import LoadFailed
from bench.load.closed_loop import allow_descriptors

HEAD = b"POST /vectors HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BODY = b'POST /vectors HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n{"text": "'
BYTE = b"x"

TICK_SECONDS = 0.5
"""Each client sends a byte so often."""

DROPPED_PER_TICK = 100
"""Connections that are opened and reset at once."""

SPARE_DESCRIPTORS = 200
DIAL_SECONDS = 10.0


class SlowClients:
    """Half of ``count`` clients send heads byte by byte, the other half bodies. They run in a thread of this process.

    A client whose connection the server ends comes back at the next tick.
    """

    def __init__(self, port: int, count: int) -> None:
        self._address = ("127.0.0.1", port)
        self._beginnings = [HEAD if number % 2 else BODY for number in range(count)]
        self._sockets: list[socket.socket | None] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._trickle, name="slow clients")

    def __enter__(self) -> Self:
        """Raises ``LoadFailed`` where the connections cannot be made."""
        allow_descriptors(len(self._beginnings) + SPARE_DESCRIPTORS)
        try:
            for beginning in self._beginnings:
                self._sockets.append(self._dial(beginning))
        except OSError as error:
            self._close()
            raise LoadFailed(f"a slow client cannot connect: {error}") from None
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        self._close()

    def _trickle(self) -> None:
        while not self._is_over.wait(TICK_SECONDS):
            for number, beginning in enumerate(self._beginnings):
                self._sockets[number] = self._next_byte(self._sockets[number], beginning)
            for _ in range(DROPPED_PER_TICK):
                with contextlib.suppress(OSError):
                    _reset(self._dial(b""))

    def _next_byte(self, connection: socket.socket | None, beginning: bytes) -> socket.socket | None:
        """The connection that the client has then; None if it could not get one."""
        try:
            if connection is None:
                return self._dial(beginning)
            connection.send(BYTE)
        except OSError:
            if connection is not None:
                connection.close()
            return None
        return connection

    def _dial(self, beginning: bytes) -> socket.socket:
        connection = socket.create_connection(self._address, timeout=DIAL_SECONDS)
        connection.sendall(beginning)
        return connection

    def _close(self) -> None:
        for connection in self._sockets:
            if connection is not None:
                connection.close()


def _reset(connection: socket.socket) -> None:
    """Break the connection off, as a host that crashes and comes back does."""
    with connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
