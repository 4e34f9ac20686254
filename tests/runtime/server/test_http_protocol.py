"""Deadlines on header and body, and the bound on connections, with short times in a real server in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from uvicorn.server import ServerState

from runtime.api.body import BodyLimits, begin_before_body
from runtime.readiness import Readiness
from runtime.server import http_protocol
from runtime.server.http_protocol import BoundedHttpProtocol
from runtime.server.server import KEEP_ALIVE_SECONDS
from tests.support.patience import PATIENCE
from tests.support.server.fake_encoder import FakeEncoder, fake_app

WEAVIATE_IDLE_SECONDS = 90
SHORT = 0.2
"""A deadline that a test waits for, in seconds."""


@asynccontextmanager
async def serving(body_seconds: float = PATIENCE) -> AsyncIterator[int]:
    readiness = Readiness()
    readiness.started()
    limits = BodyLimits(max_bytes=1000, seconds=body_seconds)
    app = begin_before_body(fake_app(FakeEncoder(), readiness, limits))
    config = uvicorn.Config(app, http=BoundedHttpProtocol, ws="none", lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BoundedHttpProtocol(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0.05)


async def talk(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send the parts and read until the server closes; nothing where it closed while we sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        return await asyncio.wait_for(reader.read(), PATIENCE)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.fixture
def short_header_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEADER_SECONDS", SHORT)


@pytest.mark.usefixtures("short_header_time")
@pytest.mark.parametrize("sent", [b"", b"POST /vectors HT", b"GET /meta HTTP/1.1\r\nHost: a\r\n"])
def test_a_header_that_does_not_end_closes_the_connection(sent: bytes):
    async def main() -> bytes:
        async with serving() as port:
            return await talk(port, sent)

    assert asyncio.run(main()) == b""


@pytest.mark.usefixtures("short_header_time")
def test_a_header_that_trickles_in_has_the_same_deadline():
    async def main() -> bytes:
        async with serving() as port:
            return await talk(port, *(b"GET /meta HTTP/1.1\r\n", *[b"a: b\r\n"] * 8), pause=0.05)

    assert asyncio.run(main()) == b""


@pytest.mark.usefixtures("short_header_time")
def test_the_deadline_counts_for_a_second_header_on_the_same_connection_too():
    request = b"GET /.well-known/live HTTP/1.1\r\nHost: a\r\n\r\n"

    async def main() -> bytes:
        async with serving() as port:
            return await talk(port, request, b"GET /meta HT", pause=0.05)

    answer = asyncio.run(main())
    assert answer.startswith(b"HTTP/1.1 204")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.usefixtures("short_header_time")
def test_an_idle_connection_between_requests_has_no_header_deadline():
    request = b"GET /.well-known/live HTTP/1.1\r\nHost: a\r\n\r\n"
    closing = b"GET /.well-known/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    async def main() -> bytes:
        async with serving() as port:
            return await talk(port, request, closing, pause=0.4)

    assert asyncio.run(main()).count(b"HTTP/1.1 204") == 2


@pytest.mark.parametrize("sent", [b"", b"{"])
def test_a_body_that_stalls_is_a_408(sent: bytes):
    async def main() -> bytes:
        async with serving(body_seconds=SHORT) as port:
            return await talk(port, b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n" + sent)

    answer = asyncio.run(main())
    assert answer.startswith(b"HTTP/1.1 408")
    body = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    assert body == {"error": "the body did not arrive within 0.2 seconds"}


def in_pieces(body: bytes) -> list[list[bytes]]:
    """The same request, cut in different places."""
    head = b"POST /vectors HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    sized = head + b"Content-Length: %d\r\n\r\n" % len(body)
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:3], body[3:])]
    return [
        [sized + body],
        [sized, body],
        [sized + body[:5], body[5:]],
        [sized[:20], sized[20:] + body],
        [chunked + b"".join(chunks) + b"0\r\n\r\n"],
        [chunked + chunks[0], chunks[1], b"0\r\n\r\n"],
    ]


@pytest.mark.parametrize("pieces", range(6))
def test_a_body_is_read_whole_however_it_arrives(pieces: int):
    async def main() -> bytes:
        async with serving() as port:
            return await talk(port, *in_pieces(b'{"text": "in pieces"}')[pieces], pause=0.02)

    head, body = asyncio.run(main()).split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body)["text"] == "in pieces"


@pytest.mark.parametrize("pieces", [0, 4])
def test_a_body_over_the_limit_is_a_413_in_one_piece_with_its_header_too(pieces: int):
    async def main() -> bytes:
        async with serving() as port:
            return await talk(port, *in_pieces(b'{"text": "%s"}' % (b"a" * 1000))[pieces])

    answer = asyncio.run(main())
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


def test_a_body_shorter_than_announced_is_not_taken_for_whole():
    async def main() -> bytes:
        async with serving(body_seconds=SHORT) as port:
            return await talk(port, b'POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\n{"text": "hi"}')

    assert asyncio.run(main()).startswith(b"HTTP/1.1 408")


def test_connections_beyond_the_bound_are_closed_and_the_others_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_protocol, "MAX_CONNECTIONS", 3)
    request = b"GET /.well-known/live HTTP/1.1\r\nHost: a\r\n\r\n"

    async def main() -> tuple[bytes, bytes]:
        async with serving() as port:
            kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            for reader, writer in kept:  # An answer shows that the server counts the connection.
                writer.write(request)
                await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
            refused = await talk(port, request)
            reader, writer = kept[0]
            writer.write(b"GET /.well-known/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), PATIENCE)
            for _, other in kept:
                other.close()
            return refused, answer

    refused, answer = asyncio.run(main())
    assert refused == b""
    assert answer.startswith(b"HTTP/1.1 204")


def test_idle_connections_are_kept_longer_than_weaviates_client_keeps_them():
    assert KEEP_ALIVE_SECONDS > WEAVIATE_IDLE_SECONDS
