"""One connection: requests however they arrive, what is refused, and requests in a row."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios

import pytest

from runtime.http.limits import SMALL_BODY
from tests.support.server.http_requests import GET, LAST_GET, MEGABYTE, SHORT, limits, post
from tests.support.server.http_server import Client, run, serving, until
from tests.support.server.recording_app import RecordingApp

SAME_NUMBERS = 10


def in_pieces(body: bytes) -> list[list[bytes]]:
    """The same request, cut in different places."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    sized = head + b"Content-Length: %d\r\n\r\n" % len(body)
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:3], body[3:])]
    return [
        [sized + body],
        [sized, body],
        [sized + body[:5], body[5:]],
        [sized[:20], sized[20:] + body],
        [b"\r\n\r\n" + sized + body],
        [chunked + b"".join(chunks) + b"0\r\n\r\n"],
        [chunked + chunks[0], chunks[1], b"0\r\n\r\n"],
        [chunked + chunks[0] + chunks[1][:4], chunks[1][4:] + b"0\r\n\r", b"\n"],
    ]


class TestRequests:
    @pytest.mark.parametrize("pieces", range(8))
    def test_a_request_is_read_whole_however_it_arrives(self, pieces: int):
        async def main() -> bytes:
            async with serving(RecordingApp(), limits()) as server:
                return await server.talk(*in_pieces(b"a body in pieces")[pieces])

        head, body = run(main).split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert b"connection: close" in head
        assert body == b"a body in pieces"

    @pytest.mark.parametrize("size", [0, 1, SMALL_BODY - 1, SMALL_BODY, SMALL_BODY + 1, MEGABYTE])
    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_bodies_of_all_sizes_come_back(self, size: int, is_chunked: bool):
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, body)
        empty = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        request = (chunked if size else empty) if is_chunked else post(body)

        async def main() -> list[tuple[int, bytes]]:
            async with serving(RecordingApp(), limits()) as server:
                client = await server.client()
                answers = []
                for _ in range(2):
                    client.send(request)
                    answers.append(await client.answer())
                return answers

        assert run(main) == [(200, body)] * 2

    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_a_body_over_the_limit_is_a_413_that_a_client_sees_which_sends_first(self, is_chunked: bool):
        body = b"x" * (MEGABYTE + 1)
        chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

        async def main() -> bytes:
            async with serving(RecordingApp(), limits()) as server:
                return await server.talk(chunked if is_chunked else post(body))

        answer = run(main)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in answer
        assert b"larger than 1048576 bytes" in answer

    def test_a_client_that_waits_before_its_body_is_told_to_go_on(self):
        async def main() -> tuple[bytes, tuple[int, bytes]]:
            async with serving(RecordingApp(), limits()) as server:
                client = await server.client()
                request = post(b"later", "/", "Expect: 100-continue")
                client.send(request[:-5])
                interim = await client.head()
                client.send(b"later")
                return interim, await client.answer()

        assert run(main) == (b"HTTP/1.1 100 Continue\r\n\r\n", (200, b"later"))

    def test_a_client_that_does_not_wait_is_not_told(self):
        async def main() -> tuple[int, bytes]:
            async with serving(RecordingApp(), limits()) as server:
                client = await server.client()
                client.send(post(b"now", "/", "Expect: 100-continue"))
                return await client.answer()

        assert run(main) == (200, b"now")

    def test_the_application_sees_method_path_query_and_headers(self):
        app = RecordingApp()

        async def main() -> None:
            async with serving(app, limits()) as server:
                await server.talk(b"GET /a%20b/%C3%BC?c=%20d HTTP/1.1\r\nX-Name: Value\r\nConnection: close\r\n\r\n")

        run(main)
        (scope,) = app.scopes
        assert (scope["method"], scope["path"], scope["query_string"]) == ("GET", "/a b/ü", b"c=%20d")
        assert (b"x-name", b"Value") in scope["headers"]

    def test_the_offer_of_another_protocol_is_ignored_and_the_body_read(self):
        request = post(b"body", "/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")

        async def main() -> list[tuple[int, bytes]]:
            async with serving(RecordingApp(), limits()) as server:
                client = await server.client()
                client.send(request)
                first = await client.answer()
                client.send(request)
                return [first, await client.answer()]

        assert run(main) == [(200, b"body")] * 2

    def test_http_1_0_is_closed_unless_it_asks_to_keep_the_connection(self):
        async def main() -> tuple[bytes, bytes]:
            async with serving(RecordingApp(), limits()) as server:
                closing = await server.talk(b"GET / HTTP/1.0\r\n\r\n")
                client = await server.client()
                client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                kept = await client.head()
                client.send(GET)
                await client.head()
                return closing, kept

        closing, kept = run(main)
        assert b"connection: close" in closing
        assert b"connection: keep-alive" in kept

    @pytest.mark.parametrize("size", [10, 100_000, 3 * MEGABYTE])
    def test_answers_of_all_sizes_reach_a_client_that_is_slow_to_read(self, size: int):
        answer = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

        async def main() -> list[bytes]:
            async with serving(RecordingApp(answer), limits()) as server:
                client = await server.client(receive_buffer=4096)
                client.send(GET + GET)
                await asyncio.sleep(0.05)
                return [(await client.answer())[1] for _ in range(2)]

        assert run(main) == [answer] * 2

    def test_an_application_that_fails_is_a_500_and_nobody_elses_fault(self, caplog: pytest.LogCaptureFixture):
        async def main() -> tuple[bytes, bytes]:
            async with serving(RecordingApp(), limits()) as server:
                return await server.talk(post(b"", "/fails")), await server.talk(LAST_GET)

        failed, other = run(main)
        assert failed.startswith(b"HTTP/1.1 500")
        assert b"a bug" not in failed
        assert other.startswith(b"HTTP/1.1 200")
        assert "a bug" in caplog.text


class TestRefusals:
    @pytest.mark.parametrize(
        "sent",
        [
            b"NONSENSE\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"GET / HTTP/1.1\nHost: a\n\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
    )
    def test_what_is_not_http_is_a_400_and_closed(self, sent: bytes):
        async def main() -> bytes:
            async with serving(RecordingApp(), limits()) as server:
                return await server.talk(sent)

        answer = run(main)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b'{"error":"the request is not valid HTTP/1.1' in answer

    @pytest.mark.parametrize("version", [b"0.9", b"2.0"])
    def test_another_version_is_a_505(self, version: bytes):
        async def main() -> bytes:
            async with serving(RecordingApp(), limits()) as server:
                return await server.talk(b"GET / HTTP/" + version + b"\r\nHost: a\r\n\r\n")

        assert run(main).startswith(b"HTTP/1.1 505")

    @pytest.mark.parametrize("excess", [-1, 0, 1])
    @pytest.mark.parametrize("at_once", [True, False])
    def test_a_head_may_have_exactly_the_limit(self, excess: int, at_once: bool):
        size = 32 * 1024 + excess
        start = b"GET / HTTP/1.1\r\nConnection: close\r\nX: "
        head = start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"
        parts = [head] if at_once else [head[:20_000], head[20_000:]]

        async def main() -> bytes:
            async with serving(RecordingApp(), limits()) as server:
                return await server.talk(*parts)

        assert run(main).startswith(b"HTTP/1.1 400" if excess > 0 else b"HTTP/1.1 200")

    def test_trailers_behind_a_body_are_refused(self):
        async def main() -> bytes:
            async with serving(RecordingApp(), limits()) as server:
                return await server.talk(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n")

        answer = run(main)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"trailers" in answer


class TestPipelining:
    def test_requests_are_answered_in_order(self):
        async def main() -> list[tuple[int, bytes]]:
            async with serving(RecordingApp(), limits()) as server:
                client = await server.client()
                client.send(b"".join(post(b"%d" % n) for n in range(50)))
                return [await client.answer() for _ in range(50)]

        assert run(main) == [(200, b"%d" % n) for n in range(50)]

    def test_one_request_is_begun_at_a_time_and_the_rest_stays_in_the_socket(self):
        """Otherwise one connection could fill the server's memory with requests."""
        app = RecordingApp()

        async def main() -> tuple[list[str], int]:
            async with serving(app, limits()) as server:
                client = await server.client()
                client.send(post(b"first", "/held"))
                await until(lambda: app.bodies)
                client.send(GET * 10_000)
                unread = await settled(client)
                begun = list(app.begun)
                app.release.set()
                assert (await client.answer())[1] == b"first"
                assert [(await client.answer())[0] for _ in range(10_000)] == [200] * 10_000
                return begun, unread

        begun, unread = run(main)
        assert begun == ["/held"]
        assert unread > 100_000

    @pytest.mark.parametrize("second", [b"NONSENSE\r\n\r\n", b"G"])
    def test_what_follows_a_request_does_not_disturb_its_answer(self, second: bytes):
        app = RecordingApp()

        async def main() -> tuple[int, bytes]:
            async with serving(app, limits(head=SHORT)) as server:
                client = await server.client()
                client.send(post(b"first", "/held") + second)
                await until(lambda: app.bodies)
                await asyncio.sleep(2 * SHORT)
                app.release.set()
                return await client.answer()

        assert run(main) == (200, b"first")


async def settled(client: Client) -> int:
    """Bytes that the server's side has not taken from the client, once that number does not change any more."""
    sock: socket.socket = client.writer.get_extra_info("socket")
    seen: list[int] = []
    while len(seen) < SAME_NUMBERS or len(set(seen[-SAME_NUMBERS:])) > 1:
        await asyncio.sleep(0.02)
        queued = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
        seen.append(queued + client.writer.transport.get_write_buffer_size())
    return seen[-1]
