"""Accepts connections, as long as there are file descriptors and memory for them, and no other worker is less busy."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial

from runtime.http.limits import SPARE_CONNECTIONS
from runtime.http.registry import Connections
from runtime.http.scoreboard import DEAF_SECONDS, Seat

BURST = 64
"""The most connections that are accepted before others get a turn."""

IDLE_SECONDS = 1.0
"""A connection that has been idle for less is not ended to make room: its next request may be on the way."""

RETRY_SECONDS = 0.1

LOOK_AGAIN_SECONDS = DEAF_SECONDS + 0.1
"""A worker that left a connection to another looks again after that time, in case that the other one hangs."""

NOTE_SECONDS = 60.0

NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger("cpu2vec")

Factory = Callable[[socket.socket, bool], asyncio.BaseProtocol]


class Acceptor:
    """Takes connections out of the kernel's queue, where they wait unharmed while there is no room."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        factory: Factory,
        connections: Connections,
        limit: int,
        seat: Seat,
    ) -> None:
        """``limit``: the most connections at a time, spare ones left out. ``seat``: of this worker among all.

        ``factory`` makes the protocol of an accepted socket, and is told whether that is a spare one.
        """
        self._loop, self._sockets, self._factory = loop, sockets, factory
        self._connections, self._limit, self._seat = connections, limit, seat
        self._opening: set[asyncio.Task[object]] = set()
        self._is_paused = False
        self._looks: dict[socket.socket, asyncio.TimerHandle] = {}
        self._noted_at = float("-inf")

    def start(self) -> None:
        """Begin to accept."""
        self._connections.publish()
        self._loop.add_reader(self._seat.bell, self._called)
        for sock in self._sockets:
            sock.setblocking(False)
            self._watch(sock)

    def stop(self) -> None:
        """Accept no more, and close the listening sockets."""
        self._loop.remove_reader(self._seat.bell)
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
            self._forget_look(sock)
            sock.close()
        self._seat.leave()

    @property
    def _count(self) -> int:
        return len(self._connections)

    def _accept(self, listener: socket.socket) -> None:
        for number in range(BURST):
            if (turn := self._seat.whose_turn()) != self._seat.number:
                # NOTE: only the first is known to be there, and nobody is to be called for none.
                if not number:
                    self._leave_to(turn, listener)
                return
            is_spare = self._count >= self._limit
            if is_spare:
                # NOTE: see above; nobody is to make room for none.
                if number:
                    return
                if self._connections.close_oldest_idle(IDLE_SECONDS):
                    is_spare = False
                elif self._count >= self._limit + SPARE_CONNECTIONS:
                    self._pause(listener, f"there are {self._count}, and the limit is {self._limit}")
                    return
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                self._pause(listener, f"{error.strerror}")
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = self._factory(sock, is_spare)
            self._connections.expect(connection)
            opening = self._loop.connect_accepted_socket(partial(_same, connection), sock)
            task = self._loop.create_task(opening)
            self._opening.add(task)
            task.add_done_callback(partial(self._opened, connection))

    def _opened(self, connection: asyncio.BaseProtocol, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        self._connections.forget(connection)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("a connection ended before it began: %s", error)

    def _leave_to(self, turn: int, listener: socket.socket) -> None:
        """Call the worker whose turn it is, and look no more before this one is called itself.

        So a connection that waits always has a worker that watches, or one that was called.
        """
        self._loop.remove_reader(listener.fileno())
        self._seat.call(turn)
        self._forget_look(listener)
        self._looks[listener] = self._loop.call_later(LOOK_AGAIN_SECONDS, self._watch, listener)

    def _called(self) -> None:
        """Another worker has left a connection to this one, or has ended."""
        self._seat.answer()
        if not self._is_paused:
            for listener in self._sockets:
                self._watch(listener)

    def _watch(self, listener: socket.socket) -> None:
        self._forget_look(listener)
        if listener.fileno() >= 0:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _forget_look(self, listener: socket.socket) -> None:
        if look := self._looks.pop(listener, None):
            look.cancel()

    def _pause(self, listener: socket.socket, reason: str) -> None:
        """Leave further connections in the kernel's queue for a moment, and say so once a minute."""
        now = self._loop.time()
        if now >= self._noted_at + NOTE_SECONDS:
            self._noted_at = now
            log.warning("no more connections are accepted for now: %s", reason)
        self._loop.remove_reader(listener.fileno())
        self._forget_look(listener)
        self._is_paused = True
        self._connections.pause(True)
        if (turn := self._seat.whose_turn()) != self._seat.number:
            self._seat.call(turn)
        self._looks[listener] = self._loop.call_later(RETRY_SECONDS, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        self._is_paused = False
        self._connections.pause(False)
        self._watch(listener)


def _same(connection: asyncio.BaseProtocol) -> asyncio.BaseProtocol:
    return connection
