"""Clients that hardly use their connections: what they send, and that they come back and go."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.errors import LoadFailed
from bench.load import slow_clients
from bench.load.slow_clients import BODY, HEAD, SlowClients
from bench.server.process import free_port
from tests.support.patience import PATIENCE


class Listener:
    """Accepts every connection, and keeps what each has sent. Ends the first one as soon as it sends a byte more."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.received: dict[socket.socket, bytes] = {}
        self.gone = 0
        self.changed = threading.Condition()
        self._is_over = False
        self._first: socket.socket | None = None
        self.thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        return self.socket.getsockname()[1]

    def wait_for(self, condition) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE)

    def stop(self) -> None:
        self._is_over = True
        self.thread.join()
        for connection in self.received:
            connection.close()
        self.socket.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.socket, selectors.EVENT_READ)
            while not self._is_over:
                for key, _ in selector.select(0.05):
                    with self.changed:
                        if key.fileobj is self.socket:
                            self._accept(selector)
                        else:
                            self._read(selector, key.fileobj)
                        self.changed.notify_all()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        connection, _ = self.socket.accept()
        self._first = self._first or connection
        self.received[connection] = b""
        selector.register(connection, selectors.EVENT_READ)

    def _read(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        try:
            data = connection.recv(1 << 16)
        except ConnectionError:
            data = b""
        self.received[connection] += data
        if not data or (connection is self._first and len(self.received[connection]) > len(BODY)):
            selector.unregister(connection)
            connection.close()
            self.gone += 1


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()
    listener.thread.start()
    try:
        yield listener
    finally:
        listener.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(slow_clients, "DROPPED_PER_TICK", 1)


def test_half_of_them_send_heads_byte_by_byte_and_half_bodies():
    with listening() as listener:
        with SlowClients(listener.port, 10):
            listener.wait_for(
                lambda: (
                    sum(data.startswith(HEAD + b"xxx") for data in listener.received.values()) == 5
                    and sum(data.startswith(BODY + b"xxx") for data in listener.received.values()) >= 4
                )
            )
        listener.wait_for(lambda: listener.gone == len(listener.received))


def test_others_are_dropped_without_a_byte_and_one_that_was_ended_comes_back():
    with listening() as listener, SlowClients(listener.port, 10):
        listener.wait_for(lambda: list(listener.received.values()).count(b"") >= 20)
        listener.wait_for(lambda: sum(data.startswith(BODY) for data in listener.received.values()) == 6)


def test_a_server_that_is_not_there_is_told():
    with pytest.raises(LoadFailed, match="a slow client cannot connect"), SlowClients(free_port(), 2):
        pass
