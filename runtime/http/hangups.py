"""Notices that a client has gone while nothing is read from its connection."""

from __future__ import annotations

import select
from asyncio import AbstractEventLoop
from collections.abc import Callable

HANGUP = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class HangupWatcher:
    """Watches file descriptors for the end of the client's side alone (``EPOLLRDHUP``), which needs no reading."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._deliver)

    def watch(self, fd: int, on_hangup: Callable[[], None]) -> None:
        """Call ``on_hangup`` once when the client has closed or reset the connection."""
        self._callbacks[fd] = on_hangup
        self._epoll.register(fd, HANGUP)

    def unwatch(self, fd: int) -> None:
        """Stop watching; does nothing for a descriptor that is not watched."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self) -> None:
        """Stop watching all."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._callbacks.clear()

    def _deliver(self) -> None:
        for fd, _ in self._epoll.poll(0):
            if callback := self._callbacks.get(fd):
                self.unwatch(fd)
                callback()
