"""Clients that are slow, silent, or leave: deadlines, and what is cancelled."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from runtime.http.limits import Deadlines, HttpLimits, Memory
from tests.support.server.http_requests import GET, MEGABYTE, PATIENT, SHORT, limits, post
from tests.support.server.http_server import Client, run, serving, until
from tests.support.server.recording_app import RecordingApp


class TestDeadlines:
    @pytest.mark.parametrize("sent", [b"", b"POST /vectors HT", b"GET /meta HTTP/1.1\r\nHost: a\r\n"])
    def test_a_head_that_does_not_end_closes_the_connection(self, sent: bytes):
        async def main() -> bytes:
            async with serving(RecordingApp(), limits(head=SHORT)) as server:
                return await server.talk(sent)

        assert run(main) == b""

    def test_a_head_that_trickles_in_has_the_same_deadline(self):
        async def main() -> bool:
            async with serving(RecordingApp(), limits(head=SHORT)) as server:
                client = await server.client()
                closed = asyncio.create_task(client.rest())
                while not closed.done():
                    client.send(b"a: b\r\n" if client.writer.transport.get_write_buffer_size() else b"GET")
                    await asyncio.sleep(SHORT / 10)
                return await closed == b""

        assert run(main)

    def test_the_second_head_on_a_connection_has_the_same_deadline(self):
        async def main() -> bytes:
            async with serving(RecordingApp(), limits(head=SHORT)) as server:
                client = await server.client()
                client.send(GET)
                await client.head()
                client.send(b"GET /meta HT")
                return await client.rest()

        assert run(main) == b""

    def test_an_idle_connection_is_kept_for_its_own_time(self):
        async def main() -> tuple[bytes, bytes]:
            async with serving(RecordingApp(), limits(head=SHORT, keep_alive=4 * SHORT)) as server:
                client = await server.client()
                client.send(GET)
                await client.head()
                await asyncio.sleep(2 * SHORT)
                client.send(GET)
                second = await client.head()
                return second, await client.rest()

        second, rest = run(main)
        assert second.startswith(b"HTTP/1.1 200")
        assert rest == b""

    def test_idle_connections_are_kept_longer_than_weaviates_client_keeps_them(self):
        assert Deadlines().keep_alive > 90

    @pytest.mark.parametrize("sent", [b"", b"half"])
    def test_a_body_that_does_not_arrive_is_a_408(self, sent: bytes):
        async def main() -> bytes:
            async with serving(RecordingApp(), limits(body=SHORT)) as server:
                return await server.talk(post(b"x" * 100)[:-100] + sent)

        answer = run(main)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"the body did not arrive within 0.2 seconds" in answer

    def test_an_answer_that_is_not_taken_ends_the_connection(self):
        async def main() -> int:
            async with serving(RecordingApp(b"x" * 20 * MEGABYTE), limits(write=SHORT)) as server:
                client = await server.client(receive_buffer=4096)
                client.writer.transport.pause_reading()
                client.send(GET)
                await until(lambda: server.server.connections == 1)
                await until(lambda: server.server.connections == 0)
                return server.server.connections

        assert run(main) == 0

    @pytest.mark.parametrize(
        "request_head", [b"GET /unread HTTP/1.1\r\nContent-Length: 9\r\n\r\n", b"NONSENSE\r\n\r\n"]
    )
    def test_a_connection_whose_rest_is_not_read_ends_even_if_it_goes_on_sending(self, request_head: bytes):
        async def main() -> None:
            async with serving(RecordingApp(), limits(close=SHORT)) as server:
                client = await server.client()
                client.send(request_head)
                await client.head()
                sending = asyncio.create_task(_send_on(client))
                await until(lambda: server.server.connections == 0)
                sending.cancel()

        run(main)

    def test_a_connection_of_age_is_closed_with_an_answer_and_never_in_between(self):
        async def main() -> tuple[bytes, bytes]:
            async with serving(RecordingApp(), limits(age=SHORT)) as server:
                client = await server.client()
                client.send(GET)
                young = await client.head()
                await asyncio.sleep(2 * SHORT)
                client.send(GET)
                old = await client.head()
                assert await client.rest() == b""
                return young, old

        young, old = run(main)
        assert b"connection: close" not in young
        assert b"connection: close" in old


class TestClientsThatLeave:
    @pytest.mark.parametrize("is_reset", [False, True])
    @pytest.mark.parametrize("behind", [b"", GET * 10])
    def test_their_request_is_cancelled(self, is_reset: bool, behind: bytes):
        app = RecordingApp()

        async def main() -> None:
            async with serving(app, limits()) as server:
                client = await server.client()
                client.send(post(b"x", "/held") + behind)
                await until(lambda: app.bodies)
                _leave(client, is_reset)
                await until(lambda: app.cancelled)
                await until(lambda: server.server.connections == 0)

        run(main)
        assert app.cancelled == ["/held"]

    def test_one_that_closes_its_side_alone_counts_as_gone(self):
        app = RecordingApp()

        async def main() -> bytes:
            async with serving(app, limits()) as server:
                client = await server.client()
                client.send(post(b"x", "/held"))
                await until(lambda: app.bodies)
                client.writer.write_eof()
                return await client.rest()

        assert run(main) == b""
        assert app.cancelled == ["/held"]

    @pytest.mark.parametrize(("sent", "is_reset"), [(1000, False), (1000, True), (200_000, True)])
    def test_one_that_leaves_while_its_large_body_waits_leaves_the_line(self, sent: int, is_reset: bool):
        """A close behind bytes that the kernel could not send yet arrives after them: only a reset is tried there."""
        app = RecordingApp()
        memory = Memory(max_body=MEGABYTE, large_bodies=5 * 200_000)

        async def main() -> int:
            async with serving(app, HttpLimits(PATIENT, memory)) as server:
                first, second = await server.client(), await server.client()
                first.send(post(b"x" * 200_000, "/held/first"))
                await until(lambda: app.bodies)
                second.send(post(b"y" * 200_000, "/held/second")[: sent - 200_000 or None])
                await until(lambda: "/held/second" in app.begun)
                await asyncio.sleep(0.05)
                _leave(second, is_reset)
                await until(lambda: app.cancelled)
                app.release.set()
                assert (await first.answer())[0] == 200
                return len(app.bodies)

        assert run(main) == 1


async def _send_on(client: Client) -> None:
    while True:
        client.send(b"y" * 1000)
        await asyncio.sleep(0.001)


def _leave(client: Client, is_reset: bool) -> None:
    if is_reset:
        sock: socket.socket = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
    else:
        client.writer.close()
