"""One connection of a caller that is no ordinary one: dialed, written and read in pieces, dropped or reset."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.load.exchange import SERVER
from bench.load.wire import response_size

RECEIVED_AT_ONCE = 1 << 16
SMALL_BUFFER = 4096
"""Of a client that reads slowly: what it does not read soon stays with the server."""


@asynccontextmanager
async def dial(port: int, receive_buffer: int | None = None) -> AsyncIterator[socket.socket]:
    """A connection that is closed at the end of the block. Raises ``OSError``."""
    with socket.socket() as connection:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(connection, (SERVER, port))
        yield connection


async def send(connection: socket.socket, data: bytes, pieces: int = 1, pause: float = 0.0) -> None:
    """Send in so many pieces, with a pause before each but the first."""
    size = -(-len(data) // pieces)
    for start in range(0, len(data), size):
        if start:
            await asyncio.sleep(pause)
        await asyncio.get_running_loop().sock_sendall(connection, data[start : start + size])


async def receive(connection: socket.socket, pieces: int = 1, pause: float = 0.0) -> bytearray:
    """Read a response; after its head, in so many pieces, with a pause before each.

    Raises ``OSError`` where the connection ends before, and ``LoadFailed`` for what is no response.
    """
    received = bytearray()
    size: int | None = None
    at_once = RECEIVED_AT_ONCE if pieces == 1 else SMALL_BUFFER // 4
    while size is None or len(received) < size:
        data = await asyncio.get_running_loop().sock_recv(connection, at_once)
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
        received += data
        if size is None and (size := response_size(received)) is not None and pieces > 1:
            at_once = max(1, -(-(size - len(received)) // pieces))
        if size is not None and len(received) < size:
            await asyncio.sleep(pause)
    return received


def reset_on_close(connection: socket.socket) -> None:
    """Break the connection off when it is closed, as a host that crashes and comes back does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
