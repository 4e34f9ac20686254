"""One request until it is answered, and the connections that wait for the next request, as in Go's HTTP transport.

A connection is taken from those that are idle, the one used last first, or dialed. After the answer it becomes idle,
unless ``MAX_IDLE`` are already.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
from enum import StrEnum

from bench.errors import LoadFailed
from bench.load.wire import Request, response_size

MAX_IDLE = 2
"""Go's ``DefaultMaxIdleConnsPerHost``, which Weaviate does not change."""

SERVER = "127.0.0.1"
SOURCES = tuple(f"127.0.0.{last}" for last in range(2, 18))
"""NOTE: who closes first keeps the port for a minute (TIME_WAIT), and one address has only some 28,000 ports."""

IP_BIND_ADDRESS_NO_PORT = 24
"""From ``linux/in.h``: the port is chosen by ``connect``, so that one port serves several destinations."""

RECEIVED_AT_ONCE = 1 << 16
OUR_OWN_LIMITS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}


class Loss(StrEnum):
    """Why a request was given up. A status is named with its number, such as ``status 503``."""

    REFUSED = "refused"
    """The connection could not be opened."""
    CLOSED = "closed"
    """The connection ended before the whole answer was there."""
    STATUS = "status"
    TIMEOUT = "timeout"
    WRONG = "wrong answer"


class Dialer:
    """Opens connections to ``port``, which may be set to another server's at any time."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._sources = itertools.cycle(SOURCES)
        self.dials = 0

    def dial(self) -> socket.socket:
        """A socket that does not block and is being connected.

        Raises ``OSError`` where the server refuses, and ``LoadFailed`` where this machine's own limits do.
        """
        self.dials += 1
        connection = None
        try:
            connection = socket.socket()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            connection.bind((next(self._sources), 0))
            if (code := connection.connect_ex((SERVER, self.port))) not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
        except OSError as error:
            if connection is not None:
                connection.close()
            if error.errno in OUR_OWN_LIMITS:
                raise LoadFailed(f"this machine cannot open more connections: {error}") from None
            raise
        return connection


class IdleConnections:
    """Connections that no request is using."""

    def __init__(self, most: int = MAX_IDLE) -> None:
        self._most = most
        self._sockets: dict[int, socket.socket] = {}

    def put(self, connection: socket.socket) -> bool:
        """Whether it is kept; otherwise it is left to be closed."""
        if len(self._sockets) >= self._most:
            return False
        self._sockets[connection.fileno()] = connection
        return True

    def take(self) -> socket.socket | None:
        """The one that became idle last; it counts as idle no more."""
        return self._sockets.popitem()[1] if self._sockets else None

    def drop(self, descriptor: int) -> None:
        """Close the one with that descriptor, if there is one: the server has closed it, or sent what nobody asked."""
        if (connection := self._sockets.pop(descriptor, None)) is not None:
            connection.close()

    def close(self) -> None:
        while (connection := self.take()) is not None:
            connection.close()


class Call:
    """One request until its answer is there, on one connection at a time."""

    __slots__ = ("_received", "_size", "_unsent", "connection", "pooled", "request", "resends", "started_at")

    def __init__(self, request: Request, started_at: float) -> None:
        self.request = request
        self.started_at = started_at
        self.connection: socket.socket | None = None
        self.pooled = False
        self.resends = 0
        self._unsent = memoryview(b"")
        self._received = bytearray()
        self._size: int | None = None

    @property
    def answer_has_begun(self) -> bool:
        return bool(self._received)

    @property
    def is_sent(self) -> bool:
        return not self._unsent

    def use(self, connection: socket.socket, pooled: bool) -> None:
        """Begin on this connection, which was idle before if it is ``pooled``."""
        self.connection, self.pooled = connection, pooled
        self._unsent = memoryview(self.request.wire)

    def send(self) -> bool:
        """Send as much as the connection takes, and return whether that is all.

        Raises ``ConnectionRefusedError``. Other errors are left to ``receive``: an answer may have come before them.
        """
        assert self.connection is not None
        try:
            while self._unsent:
                self._unsent = self._unsent[self.connection.send(self._unsent) :]
        except BlockingIOError:
            return False
        except ConnectionRefusedError:
            raise
        except OSError:
            self._unsent = memoryview(b"")
        return True

    def receive(self) -> bytearray | None:
        """Read what has arrived, and return the response once it is complete.

        Raises ``OSError`` where the connection ends before, and ``LoadFailed`` for what is no answer.
        """
        assert self.connection is not None
        try:
            data = self.connection.recv(RECEIVED_AT_ONCE)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
        self._received += data
        if self._size is None:
            self._size = response_size(self._received)
        if self._size is None or len(self._received) < self._size:
            return None
        if len(self._received) > self._size:
            raise LoadFailed("the server sent more than the answer")
        return self._received
