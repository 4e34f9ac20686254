"""What a request held is freed with its end, not by the next garbage collection, which a few megabytes do not bring."""

from __future__ import annotations

import gc
import math
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator

import pytest

from runtime.http.body import IncomingBody
from runtime.http.exchange import Exchange
from runtime.http.limits import Deadlines, HttpLimits, Memory
from tests.support.server.http_server import PATIENCE, Client, Running, run, serving, until
from tests.support.server.recording_app import RecordingApp

SIZE = 200_000
ROOM_FOR_ONE = Memory(large_bodies=5 * SIZE, max_body=SIZE)

Case = Callable[[Running, RecordingApp], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def post(path: str, size: int = SIZE) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (path.encode(), size) + b"x" * size


def reset(client: Client) -> None:
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


async def answered(server: Running, app: RecordingApp) -> None:
    client = await server.client()
    client.send(post("/"))
    assert (await client.answer())[0] == 200
    await client.close()


async def gone_while_answered(server: Running, app: RecordingApp) -> None:
    client = await server.client()
    client.send(post("/held"))
    await until(lambda: app.bodies)
    reset(client)


async def gone_while_sending(server: Running, app: RecordingApp) -> None:
    client = await server.client()
    client.send(post("/")[: SIZE // 2])
    await until(lambda: app.begun)
    reset(client)


async def gone_while_waiting(server: Running, app: RecordingApp) -> None:
    first, second = await server.client(), await server.client()
    first.send(post("/held"))
    await until(lambda: app.bodies)
    second.send(post("/")[:1000])
    await until(lambda: len(app.begun) == 2)
    reset(second)
    await until(lambda: app.cancelled)
    reset(first)


async def refused_as_too_large(server: Running, app: RecordingApp) -> None:
    client = await server.client()
    client.send(post("/", SIZE + 1))
    assert (await client.answer())[0] == 413


async def refused_as_too_slow(server: Running, app: RecordingApp) -> None:
    client = await server.client()
    client.send(post("/")[: SIZE // 2])
    assert (await client.answer())[0] == 408


async def refused_as_malformed(server: Running, app: RecordingApp) -> None:
    client = await server.client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n0\r\na: b\r\n\r\n")
    assert (await client.answer())[0] == 400


async def refused_without_a_turn(server: Running, app: RecordingApp) -> None:
    first, second = await server.client(), await server.client()
    first.send(post("/held"))
    await until(lambda: app.bodies)
    second.send(post("/")[:1000])
    assert (await second.answer())[0] == 503
    reset(first)


CASES = [
    answered,
    gone_while_answered,
    gone_while_sending,
    gone_while_waiting,
    refused_as_too_large,
    refused_as_too_slow,
    refused_as_malformed,
    refused_without_a_turn,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_nothing_of_a_request_outlives_it(case: Case):
    app = RecordingApp(answer=b"")
    body = 0.2 if case is refused_as_too_slow else PATIENCE
    request = 0.2 if case is refused_without_a_turn else None
    deadlines = Deadlines(body=body, request=request, close=0.05, age=math.inf, check=0.02)

    async def main() -> None:
        async with serving(app, HttpLimits(deadlines, ROOM_FOR_ONE)) as server:
            await case(server, app)
            for client in server.clients:
                client.writer.transport.abort()
            await until(lambda: server.server.connections == 0)
            app.scopes.clear()
            assert [kept for kept in gc.get_objects() if isinstance(kept, (Exchange, IncomingBody))] == []

    run(main)
    assert app.begun
