"""The listening socket: its options, and one sentence for each reason why there is none."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from runtime.errors import PortUnavailable
from runtime.server import listener
from runtime.server.listener import listen, reason


def test_it_takes_ipv4_and_ipv6_and_is_not_blocking():
    with listen(0) as server:
        assert not server.getblocking()
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, server.getsockname()[1])).close()


def test_without_ipv6_it_takes_ipv4(monkeypatch: pytest.MonkeyPatch):
    create = socket.create_server

    def without_ipv6(address, **options):
        if options["family"] == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return create(address, **options)

    monkeypatch.setattr(listener.socket, "create_server", without_ipv6)
    with listen(0) as server:
        assert server.family == socket.AF_INET
        socket.create_connection(("127.0.0.1", server.getsockname()[1])).close()


def test_a_port_in_use_is_refused_at_the_first_try():
    with listen(0) as server:
        port = server.getsockname()[1]
        with pytest.raises(PortUnavailable, match=f"port {port} is already in use: stop what listens there, or set"):
            listen(port)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.EADDRINUSE, "port 80 is already in use: stop what listens there, or set PORT to another port"),
        (errno.EACCES, "port 80 is not allowed for this user: set PORT to a port from 1024 on"),
        (errno.EADDRNOTAVAIL, "port 80 cannot be listened on: Cannot assign requested address"),
    ],
)
def test_each_reason_is_a_sentence(code: int, sentence: str):
    assert reason(80, OSError(code, os.strerror(code))) == sentence
