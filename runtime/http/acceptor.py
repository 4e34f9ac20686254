"""Accepts connections, as long as there are file descriptors and memory for them."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial

from runtime.http.limits import SPARE_CONNECTIONS
from runtime.http.registry import Connections

BURST = 64
"""The most connections that are accepted before others get a turn."""

IDLE_SECONDS = 1.0
"""A connection that has been idle for less is not ended to make room: its next request may be on the way."""

RETRY_SECONDS = 0.1
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
    ) -> None:
        """``limit``: the most connections at a time, spare ones left out.

        ``factory`` makes the protocol of an accepted socket, and is told whether that is a spare one.
        """
        self._loop, self._sockets, self._factory = loop, sockets, factory
        self._connections, self._limit = connections, limit
        self._opening: set[asyncio.Task[object]] = set()
        self._is_paused = False
        self._noted_at = float("-inf")

    def start(self) -> None:
        """Begin to accept."""
        for sock in self._sockets:
            sock.setblocking(False)
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    def stop(self) -> None:
        """Accept no more, and close the listening sockets."""
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
            sock.close()

    @property
    def _count(self) -> int:
        return len(self._connections) + len(self._opening)

    def _accept(self, listener: socket.socket) -> None:
        for number in range(BURST):
            is_spare = self._count >= self._limit
            if is_spare:
                # NOTE: only the first is known to be there, and nobody is to make room for none.
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
            opening = self._loop.connect_accepted_socket(partial(self._factory, sock, is_spare), sock)
            task = self._loop.create_task(opening)
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("a connection ended before it began: %s", error)

    def _pause(self, listener: socket.socket, reason: str) -> None:
        """Leave further connections in the kernel's queue for a moment, and say so once a minute."""
        now = self._loop.time()
        if now >= self._noted_at + NOTE_SECONDS:
            self._noted_at = now
            log.warning("no more connections are accepted for now: %s", reason)
        self._loop.remove_reader(listener.fileno())
        self._loop.call_later(RETRY_SECONDS, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener.fileno(), self._accept, listener)
