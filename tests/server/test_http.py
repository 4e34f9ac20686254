"""HTTP as clients other than Weaviate's may speak it, and what hostile or odd ones get."""

from __future__ import annotations

import concurrent.futures
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server.server_process import Server, ready

LONG = "the quick brown fox jumps over the lazy dog " * 60


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(default_bundle, tmp_path_factory.mktemp("server") / "log", [], MAX_BODY_BYTES="5000") as server:
        yield server


class TestHttp:
    """What clients other than Weaviate's may do."""

    def test_chunked_bodies_are_read(self, server: Server):
        with server.connect() as connection:
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in (b'{"te', b'xt": "chun', b'ked"}'):
                connection.send(b"%x\r\n%s\r\n" % (len(part), part))
                time.sleep(0.02)
            connection.send(b"0\r\n\r\n")
            assert connection.answer().json["text"] == "chunked"

    def test_chunked_bodies_have_the_same_limit(self, server: Server):
        with server.connect() as connection:
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.send(b"1000\r\n" + b"a" * 4096 + b"\r\n" + b"1000\r\n" + b"a" * 4096 + b"\r\n")
            assert connection.answer().status == 413

    def test_pipelined_requests_are_answered_in_order(self, server: Server):
        with server.connect() as connection:
            bodies = [json.dumps({"text": f"number {n}"}).encode() for n in range(5)]
            connection.send(
                b"".join(
                    b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(b), b) for b in bodies
                )
            )
            assert [connection.answer().json["text"] for _ in bodies] == [f"number {n}" for n in range(5)]

    def test_http_1_0_is_answered_and_closed(self, server: Server):
        with server.connect() as connection:
            connection.send(b'POST /vectors HTTP/1.0\r\nContent-Length: 14\r\n\r\n{"text": "hi"}')
            assert connection.answer().status == 200
            assert connection.is_closed()

    def test_expect_continue_is_answered_before_the_body(self, server: Server):
        with server.connect() as connection:
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\nExpect: 100-continue\r\n\r\n")
            assert connection.answer().status == 100
            connection.send(b'{"text": "hi"}')
            assert connection.answer().status == 200

    def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent(self, server: Server):
        with server.connect() as connection:
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 5001\r\n\r\n")
            answer = connection.answer()
            assert answer.status == 413
            assert answer.json["error"].startswith("the body is larger than 5000 bytes")
            assert connection.is_closed()

    @pytest.mark.parametrize(
        "head",
        [
            b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n",
            b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"1" * 400 + b"\r\n\r\n",
            b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"NONSENSE\r\n\r\n",
        ],
    )
    def test_malformed_requests_are_a_400_and_closed(self, server: Server, head: bytes):
        with server.connect() as connection:
            connection.send(head)
            assert connection.answer().status == 400
            assert connection.is_closed()

    @pytest.mark.parametrize("line", [b"X-Flood: " + b"a" * 1000 + b"\r\n", b"a: b\r\n"])
    def test_a_flood_of_headers_is_cut_off(self, server: Server, line: bytes):
        with server.connect() as connection:
            connection.send(b"GET /meta HTTP/1.1\r\n")
            answered = cut = False
            try:
                for _ in range(100):
                    connection.send(line * (8000 // len(line)))
                    time.sleep(0.002)
                connection.send(b"\r\n")
                answered = connection.answer().status == 400
            except ConnectionError:
                cut = True
            assert answered or cut

    def test_clients_that_leave_without_reading_harm_nobody(self, server: Server):
        for _ in range(30):
            connection = server.connect()
            body = json.dumps({"text": LONG[:2000]}).encode()
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            connection.close()
        assert server.embed("still there").status == 200
        assert "Traceback" not in server.output()

    def test_a_hundred_stalled_bodies_do_not_starve_others(self, server: Server):
        stalled = [server.connect() for _ in range(100)]
        for connection in stalled:
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert {answer.status for answer in pool.map(server.embed, ["hello"] * 40)} == {200}
        for connection in stalled:
            connection.close()
