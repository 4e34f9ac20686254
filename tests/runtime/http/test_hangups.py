"""A client that leaves is noticed while nothing is read."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from runtime.http.hangups import HangupWatcher
from tests.support.server.http_server import run, until


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("unread", [b"", b"bytes that wait"])
def test_a_close_or_a_reset_is_told_once(is_reset: bool, unread: bytes):
    async def main() -> list[str]:
        here, there = _pair()
        told: list[str] = []
        watcher = HangupWatcher(asyncio.get_running_loop())
        watcher.watch(here.fileno(), lambda: told.append("gone"))
        there.sendall(unread or b"x")
        await asyncio.sleep(0.02)
        assert told == []
        if is_reset:
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        there.close()
        await until(lambda: told)
        await asyncio.sleep(0.02)
        watcher.close()
        here.close()
        return told

    assert run(main) == ["gone"]


def test_nothing_is_told_of_what_is_not_watched_any_more():
    async def main() -> list[str]:
        here, there = _pair()
        other, other_there = _pair()
        told: list[str] = []
        watcher = HangupWatcher(asyncio.get_running_loop())
        watcher.watch(here.fileno(), lambda: told.append("first"))
        watcher.watch(other.fileno(), lambda: told.append("other"))
        watcher.unwatch(here.fileno())
        watcher.unwatch(here.fileno())
        there.close()
        other_there.close()
        await until(lambda: told)
        watcher.close()
        here.close()
        other.close()
        return told

    assert run(main) == ["other"]


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = socket.create_connection(listener.getsockname())
        here, _ = listener.accept()
    return here, there
