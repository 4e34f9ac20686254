"""Serves an application on listening sockets until it is told to drain, and drains without losing a request."""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import socket
from collections.abc import Sequence

from runtime.api.body import AsgiApp
from runtime.host.memory import release_free_memory
from runtime.http.acceptor import Acceptor
from runtime.http.body import BodyRules
from runtime.http.connection import Connection, Context
from runtime.http.hangups import HangupWatcher
from runtime.http.known_heads import KnownHeads
from runtime.http.limits import HttpLimits, Memory
from runtime.http.registry import Connections
from runtime.http.scoreboard import Scoreboard, Seat
from runtime.http.share import Share

RESERVED_DESCRIPTORS = 64
"""For everything that is not a connection: the bundle's files, sockets that listen, event loops; and spare ones."""

DESCRIPTORS_PER_WORKER = 3 + 2 * 8
"""For the bell and the mailbox of another worker, and for groups of texts in both directions, of up to 4 threads."""

JITTER = 0.25
"""Connections live that much longer or shorter, so that they do not all end at once."""

PAUSE_SECONDS = 1.0
"""A look at the deadlines that comes so much too late shows that the process was stopped, or had no processor."""

RECENT_SECONDS = 10.0
MIN_LINGER_IN_USE = 3.0
"""A server that was in use in the last ``RECENT_SECONDS`` waits at least so long for those who do not know yet that it
ends: a Kubernetes service takes a second or two to tell."""

DRAIN_TICK_SECONDS = 0.05

log = logging.getLogger("cpu2vec")


class HttpServer:
    """Connections, from the first accept to the end of the drain. Belongs to the event loop's thread."""

    def __init__(
        self, app: AsgiApp, sockets: Sequence[socket.socket], limits: HttpLimits, seat: Seat | None = None
    ) -> None:
        """Must be called on the event loop. The sockets listen, and are closed at the end.

        ``seat``: of this worker among those that accept from the same sockets; None: there are no others.
        """
        seat = seat if seat is not None else Scoreboard(1).seat(0)
        self._seat = seat
        loop = asyncio.get_running_loop()
        deadlines, memory = limits.deadlines, limits.memory
        self._loop, self._deadlines, self._draining = loop, deadlines, limits.draining
        limit = connection_limit(memory, seat.workers)
        self._connections = Connections(loop, seat, limit)
        self._hangups = HangupWatcher(loop)
        self._large_bodies = Share(memory.large_bodies)
        self._small_bodies = Share(memory.small_bodies)
        rules = BodyRules(memory.max_body, deadlines, self._small_bodies, self._large_bodies, Share(memory.answers))
        self._context = Context(app, loop, self._connections, self._hangups, deadlines, memory, rules, KnownHeads())
        for sock in sockets:
            # NOTE: accepted sockets inherit it. What waits in the kernel's buffers counts as this container's memory.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, memory.receive_buffer)
        self._acceptor = Acceptor(loop, sockets, self._connect, self._connections, limit, seat)
        self._ending = asyncio.Event()
        self._drain: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._connections)

    async def serve(self) -> int:
        """Serve until ``end``; return how many requests were cut off."""
        self._acceptor.start()
        checking = self._loop.create_task(self._check_deadlines())
        try:
            await self._ending.wait()
        finally:
            checking.cancel()
            self._acceptor.stop()
            cut = self._connections.close_all()
            # Connections end on the event loop's next rounds.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self._hangups.close()
        return cut

    def drain(self) -> asyncio.Task[None]:
        """Answer what still comes, each answer the last on its connection, until nothing does. Then ``end``.

        A second call changes nothing.
        """
        if self._drain is None:
            self._connections.drain()
            self._drain = self._loop.create_task(self._wait_until_quiet())
        return self._drain

    def end(self) -> None:
        """End now, whatever is in progress."""
        self._ending.set()

    async def _wait_until_quiet(self) -> None:
        start = self._loop.time()
        was_in_use = self._connections.last_request_at > start - RECENT_SECONDS
        linger = max(self._draining.linger, MIN_LINGER_IN_USE if was_in_use else 0.0)
        while self._loop.time() < start + self._draining.longest and not self._is_quiet(start, linger):
            await asyncio.sleep(DRAIN_TICK_SECONDS)
        self.end()

    def _is_quiet(self, since: float, linger: float) -> bool:
        connections = self._connections
        quiet_since = max(since, connections.last_request_at)
        return (
            not connections.requests
            and not self._seat.guests
            and self._loop.time() >= quiet_since + linger
            and not connections.awaits_first_request(linger)
        )

    def _connect(self, sock: socket.socket, is_spare: bool) -> Connection:
        jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
        age = 0.0 if is_spare else self._deadlines.age * jitter
        return Connection(self._context, sock, self._loop.time() + age)

    async def _check_deadlines(self) -> None:
        checked_at = self._loop.time()
        while True:
            await asyncio.sleep(self._deadlines.check)
            now = self._loop.time()
            self._connections.sample(self._small_bodies.waiting + self._large_bodies.waiting)
            # NOTE: a process or a machine that was paused has not read what its clients have sent in time.
            if (pause := now - checked_at - self._deadlines.check) > PAUSE_SECONDS:
                self._connections.postpone(pause)
            else:
                await self._connections.check()
            checked_at = self._loop.time()
            if self._large_bodies.was_emptied():
                # The allocator would keep what the bodies and their texts had.
                release_free_memory()


def connection_limit(memory: Memory, workers: int = 1) -> int:
    """The most connections at a time, by file descriptors and memory. Raises the soft limit to the hard one.

    ``workers``: each has file descriptors in all of them.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    reserved = RESERVED_DESCRIPTORS + DESCRIPTORS_PER_WORKER * (workers - 1)
    descriptors = memory.max_connections if hard == resource.RLIM_INFINITY else hard - reserved
    return max(1, min(descriptors, memory.max_connections))
