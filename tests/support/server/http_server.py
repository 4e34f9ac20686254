"""Runs the HTTP server with any application in this process, and talks to it over raw sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import uvloop

from runtime.api.body import AsgiApp
from runtime.http.http_server import HttpServer
from runtime.http.limits import HttpLimits

PATIENCE = 600
"""Seconds. Longer than any answer takes, however busy the machine is."""

Result = TypeVar("Result")


@dataclass
class Running:
    """A server that runs in this event loop."""

    server: HttpServer
    port: int
    serving: asyncio.Task[int]
    clients: list[Client] = field(default_factory=list)

    async def client(self, receive_buffer: int | None = None) -> Client:
        """A new connection."""
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        client = Client(*await asyncio.open_connection(sock=sock))
        self.clients.append(client)
        return client

    async def talk(self, *parts: bytes) -> bytes:
        """Send the parts on a new connection, and return all that comes until the server closes it."""
        client = await self.client()
        for part in parts:
            client.send(part)
            await asyncio.sleep(0.01)
        return await client.rest()


@dataclass
class Client:
    """One connection to a server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        """The head of the next answer."""
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)

    async def answer(self) -> tuple[int, bytes]:
        """Status and body of the next answer."""
        head = await self.head()
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        body = await asyncio.wait_for(self.reader.readexactly(int(length or 0)), PATIENCE)
        return int(head.split()[1]), body

    async def rest(self) -> bytes:
        """All that comes until the server closes; nothing where it resets the connection."""
        try:
            return await asyncio.wait_for(self.reader.read(), PATIENCE)
        except ConnectionError:
            return b""

    async def close(self) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@asynccontextmanager
async def serving(app: AsgiApp, limits: HttpLimits | None = None) -> AsyncIterator[Running]:
    """A server on a free port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = listener.getsockname()[1]
    server = HttpServer(app, [listener], limits or HttpLimits())
    task = asyncio.get_running_loop().create_task(server.serve())
    running = Running(server, port, task)
    try:
        yield running
    finally:
        server.end()
        await task
        for client in running.clients:
            await client.close()


def run(main: Callable[[], Awaitable[Result]]) -> Result:
    """Run a test on the event loop that the server has in production, too."""

    async def bounded() -> Result:
        async with asyncio.timeout(PATIENCE):
            return await main()

    return uvloop.run(bounded())


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)
