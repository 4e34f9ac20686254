"""A mailbox for each worker, made by the master before it forks: what is put into it is one end of a connection."""

from __future__ import annotations

import socket
import weakref
from contextlib import suppress


class Mailboxes:
    """Those of all workers. They have no name, so that nobody but this server's processes can reach them."""

    def __init__(self, workers: int) -> None:
        # PERF: a worker that is alone writes to nobody, and needs no descriptors.
        count = workers if workers > 1 else 0
        self._pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count)]
        for pair in self._pairs:
            for end in pair:
                end.setblocking(False)
        weakref.finalize(self, _close, self._pairs)

    def put(self, worker: int, connection: socket.socket) -> None:
        """Give the worker of that number a connection. Raises ``OSError`` where its mailbox is full."""
        socket.send_fds(self._pairs[worker][0], [b"."], [connection.fileno()])

    def take(self, worker: int) -> socket.socket | None:
        """The connection that was put first into the mailbox; None if it is empty."""
        with suppress(BlockingIOError):
            _, descriptors, _, _ = socket.recv_fds(self._pairs[worker][1], 1, 1)
            return socket.socket(fileno=descriptors[0])
        return None

    def fileno(self, worker: int) -> int:
        """What becomes readable when something is put into the worker's mailbox."""
        return self._pairs[worker][1].fileno()

    def clear(self, worker: int) -> None:
        """Close what its worker has not taken, so that whoever has put it there does not wait."""
        while self._pairs and (connection := self.take(worker)) is not None:
            connection.close()


def _close(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    for pair in pairs:
        for end in pair:
            end.close()
