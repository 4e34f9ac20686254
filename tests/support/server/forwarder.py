"""Forwards TCP connections to the newest server that is ready, as a Kubernetes service does, with the same delay.

It runs in a thread of its own. A connection stays with its server until one of the two ends it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

from tests.support.patience import PATIENCE
from tests.support.server.server_process import wait_until

HOST = "127.0.0.1"
POLL_SECONDS = 0.1
PROBE_SECONDS = 1.0
"""A server that does not answer the probe within this time is not ready."""

BACKLOG = 4096
PROBE = b"GET /.well-known/ready HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n"


class Forwarder:
    """Listens on ``port`` while its ``with`` block runs.

    ``servers`` are the ports of servers that are ready; more are added later. Whether a server is ready takes effect
    ``delay`` seconds after it was seen.
    """

    def __init__(self, *servers: int, delay: float) -> None:
        self.port = 0
        self.connections: Counter[int] = Counter()
        """How many connections each server got."""
        self._delay = delay
        self._servers = list(servers)
        """Oldest first."""
        self._seen = dict.fromkeys(servers, True)
        self._in_effect = dict.fromkeys(servers, True)
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Forwarder:
        self._thread.start()
        assert self._listening.wait(PATIENCE)
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def target(self) -> int | None:
        """The server that gets new connections now; None if none is known to be ready."""
        return next((server for server in reversed(self._servers) if self._in_effect.get(server)), None)

    def add(self, server: int) -> None:
        """Add a newer server, and wait until it was seen to be ready, which takes effect later."""
        self._servers.append(server)
        self._loop.call_soon_threadsafe(self._keep, self._follow(server))
        wait_until(lambda: self._seen.get(server), "the new server does not become ready")

    def _keep(self, work: object) -> None:
        assert asyncio.iscoroutine(work)
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        listener = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Client(self), HOST, 0, backlog=BACKLOG)
        )
        self.port = listener.sockets[0].getsockname()[1]
        for server in self._servers:
            self._keep(self._follow(server))
        self._listening.set()
        self._loop.run_forever()
        listener.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    async def _follow(self, server: int) -> None:
        while True:
            ready = await _is_ready(server)
            if ready != self._seen.get(server):
                self._loop.call_later(self._delay, self._in_effect.__setitem__, server, ready)
                self._seen[server] = ready
            await asyncio.sleep(POLL_SECONDS)

    def connect(self, client: _Client) -> None:
        """Open a connection to the server whose turn it is, for a client's."""
        if (server := self.target) is None:
            client.abort()
            return
        self.connections[server] += 1
        self._keep(self._open(client, server))

    async def _open(self, client: _Client, server: int) -> None:
        try:
            await self._loop.create_connection(lambda: _Backend(client), HOST, server)
        except OSError:
            client.abort()


class _Side(asyncio.Protocol):
    """One of the two connections; whatever happens to it happens to the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.other is not None and self.other.transport is not None:
            # What was written to the other one is still sent, unless this one was reset.
            self.other.transport.close() if error is None else self.other.transport.abort()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class _Client(_Side):
    """A connection that was accepted; nothing is read before there is a server for it."""

    def __init__(self, service: Forwarder) -> None:
        super().__init__()
        self._service = service

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._service.connect(self)


class _Backend(_Side):
    """The connection to the server."""

    def __init__(self, client: _Client) -> None:
        super().__init__()
        self.other = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        client = self.other
        assert client is not None
        if client.transport is None:
            self.abort()
            return
        client.other = self
        client.transport.resume_reading()


async def _is_ready(server: int) -> bool:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, server)
            try:
                writer.write(PROBE)
                return (await reader.read(64))[9:10] == b"2"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
