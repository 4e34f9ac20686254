"""Clients that stall, flood or go, against the real server: nobody else loses anything, and nothing grows or lasts."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.load.closed_loop import allow_descriptors
from tests.support.server.process_usage import (
    MB,
    cpu_ticks,
    open_descriptors,
    peak_bytes,
    resident_bytes,
    wait_until_idle,
)
from tests.support.server.server_process import CLOSE_SECONDS, Connection, Server, ready, wait_until
from tests.support.server.weaviate_client import WeaviateClient

PROBE = b"GET /.well-known/live HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW_HEAD = b"POST /vectors HTTP/1.1\r\nHost"
SLOW_BODY = b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{"

FLOOD_BYTES = 50 * MB
"""So much is sent where a server could let it pile up."""

ROOM = 24 * MB
"""The memory that a server may take for a flood: less than half of what one connection sends."""

CONNECTIONS = 1000
NORMAL_CALLERS = 32
IN_FLIGHT = 64
IN_BETWEEN = 200
"""The answers that normal callers get, at least, while others misbehave."""


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    allow_descriptors(2 * CONNECTIONS)
    with ready(default_bundle, tmp_path_factory.mktemp("abuse") / "log") as server:
        server.embed("warm")
        yield server


@pytest.fixture
def worker(server: Server) -> Iterator[int]:
    """The process that serves. It has to be the same one at the end."""
    (before,) = server.workers()
    yield before
    assert server.workers() == [before], server.output()
    assert "Traceback" not in server.output()


def post(text: str) -> bytes:
    body = b'{"text": "%s"}' % text.encode()
    return b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def reset(connection: Connection) -> None:
    """Break the connection off, as a host that crashes and comes back does."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def wait_until_the_server_has_closed(server: Server, worker: int, descriptors: int) -> None:
    """Until it has no more connections than when it had so many descriptors. A close of one side would not do."""
    wait_until(lambda: open_descriptors(worker) <= descriptors, "connections are kept", server.output)


class TestCallersWhoLeave:
    """Their texts cost nothing from then on."""

    CALLERS = 8

    @staticmethod
    def text(n: int) -> str:
        """Beyond 64 kB, so that the rest of its connection is not read while it is computed."""
        return f"number {n}: " + "the quick brown fox jumps over the lazy dog " * 1600

    @pytest.mark.parametrize("leave", [reset, Connection.close], ids=["reset", "close"])
    def test_their_texts_are_not_computed_and_others_are_answered(
        self, server: Server, worker: int, leave: Callable[[Connection], None]
    ):
        before = wait_until_idle(worker)
        assert server.embed(self.text(0)).status == 200
        cost_of_one = wait_until_idle(worker) - before
        callers = [server.connect() for _ in range(self.CALLERS)]
        for n, caller in enumerate(callers):
            caller.send(post(self.text(n + 1)))
        server.wait_until_read()
        assert server.embed("a short text").status == 200
        assert not any(caller.has_answer() for caller in callers)
        for caller in callers:
            leave(caller)
        at_leave = cpu_ticks(worker)
        cost_after = wait_until_idle(worker) - at_leave
        assert cost_after < cost_of_one


class TestFloods:
    """Of one connection."""

    @staticmethod
    def flood(connection: Connection, worker: int, data: bytes) -> int:
        """Send until the server ends the connection, or stops reading and is idle; return the bytes that were sent."""
        sent, view = 0, memoryview(data)
        connection.socket.setblocking(False)
        while sent < FLOOD_BYTES:
            try:
                sent += connection.socket.send(view[sent % len(data) :])
            except BlockingIOError:
                wait_until_idle(worker)
                if not select.select([], [connection.socket], [], 0)[1]:
                    break
            except ConnectionError:
                break
        connection.socket.settimeout(CLOSE_SECONDS)
        return sent

    def test_pipelined_requests_whose_answers_nobody_reads_stay_in_the_socket(self, server: Server, worker: int):
        before = peak_bytes(worker)
        with server.connect() as connection:
            sent = self.flood(connection, worker, b"GET /meta HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
            assert sent < FLOOD_BYTES
            assert peak_bytes(worker) - before < ROOM
            assert server.embed("another caller").status == 200

    def test_pipelined_requests_whose_answers_are_read_are_all_answered(self, server: Server, worker: int):
        before = resident_bytes(worker)
        count = 20_000
        with server.connect() as connection:
            connection.socket.setblocking(False)
            sent, answered, flood = 0, 0, memoryview((PROBE + b"\r\n") * count)
            while answered < count:
                wanted = [connection.socket] if sent < len(flood) else []
                readable, writable, _ = select.select([connection.socket], wanted, [], CLOSE_SECONDS)
                assert readable or writable, "the answers do not come"
                if writable:
                    sent += connection.socket.send(flood[sent : sent + 65536])
                if readable:
                    answered += connection.socket.recv(1 << 20).count(b"HTTP/1.1 204")
            assert resident_bytes(worker) - before < ROOM

    @pytest.mark.parametrize(
        ("start", "data"),
        [
            (b"0\r\n", b"".join(b"x%06d: y\r\n" % n for n in range(10_000))),
            (b"0\r\nx: ", b"y" * 100_000),
            (b"5;", b"y" * 100_000),
        ],
        ids=["trailers", "one-trailer", "chunk-extension"],
    )
    def test_what_does_not_end_behind_a_chunk_is_not_kept(self, server: Server, worker: int, start: bytes, data: bytes):
        before, descriptors = peak_bytes(worker), open_descriptors(worker)
        flooding = [server.connect() for _ in range(3)]
        for connection, path in zip(flooding, (b"/vectors", b"/.well-known/live", b"/nowhere"), strict=True):
            connection.send(CHUNKED % path + start)
        with ThreadPoolExecutor(len(flooding)) as pool:
            list(pool.map(lambda connection: self.flood(connection, worker, data), flooding))
        wait_until_the_server_has_closed(server, worker, descriptors)
        assert peak_bytes(worker) - before < ROOM
        for connection in flooding:
            connection.close()


def hold_after_an_answer(server: Server) -> list[Connection]:
    """The answer comes before the end of a body that never comes: a probe's, a wrong path's, a wrong method's."""
    heads = [
        PROBE + b"Content-Length: 9\r\n\r\n",
        b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
        b"PUT /vectors HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    ]
    held = [server.connect() for _ in range(CONNECTIONS)]
    for n, connection in enumerate(held):
        connection.send(heads[n % len(heads)])
    server.wait_until_read()
    for connection in held:
        with contextlib.suppress(ConnectionError):
            connection.send(b"y")
    return held


def send_slow_heads_and_bodies(server: Server) -> list[Connection]:
    slow = [server.connect() for _ in range(CONNECTIONS)]
    for n, connection in enumerate(slow):
        connection.send((SLOW_HEAD, SLOW_BODY)[n % 2])
    return slow


def break_off(server: Server) -> list[Connection]:
    """In the middle of a head, of a body, and of an answer."""
    parts = (SLOW_HEAD, SLOW_BODY, post("hello"))
    for n in range(600):
        connection = server.connect()
        connection.send(parts[n % 3])
        reset(connection)
    return []


def open_and_drop(server: Server) -> list[Connection]:
    for n in range(2 * CONNECTIONS):
        connection = server.connect()
        if n % 2:
            connection.send(post("hello"))
        connection.close()
    return []


def close_one_side(server: Server) -> list[Connection]:
    """After a request, or in the middle of one. That counts as gone."""
    half = [server.connect() for _ in range(200)]
    for n, connection in enumerate(half):
        connection.send((post(f"text {n}"), SLOW_HEAD, SLOW_BODY)[n % 3])
        connection.socket.shutdown(socket.SHUT_WR)
    return half


class TestBesideNormalCallers:
    """None of theirs is lost."""

    @pytest.mark.parametrize(
        ("misbehave", "is_ended_soon"),
        [
            (hold_after_an_answer, True),
            (send_slow_heads_and_bodies, False),
            (break_off, False),
            (open_and_drop, False),
            (close_one_side, True),
        ],
        ids=lambda value: getattr(value, "__name__", None),
    )
    def test_nothing_of_theirs_is_lost(
        self, server: Server, worker: int, misbehave: Callable[[Server], list[Connection]], is_ended_soon: bool
    ):
        """``is_ended_soon``: the server waits for nothing more. Others have deadlines of half a minute."""
        wait_until_idle(worker)
        before, descriptors = resident_bytes(worker), open_descriptors(worker)
        with WeaviateClient(server.port, NORMAL_CALLERS) as client:
            client.wait_for_answers(IN_BETWEEN)
            misbehaving = misbehave(server)
            client.wait_for_answers(IN_BETWEEN)
            outcome = client.stop()
        if is_ended_soon:
            wait_until_the_server_has_closed(server, worker, descriptors)
        for connection in misbehaving:
            connection.close()
        assert outcome.lost == {}, server.output()
        wait_until_the_server_has_closed(server, worker, descriptors)
        assert resident_bytes(worker) - before < 2 * ROOM


class TestProcess:
    def test_more_connections_than_file_descriptors_wait_and_none_is_lost(self, default_bundle: Path, tmp_path: Path):
        command = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"]
        with ready(default_bundle, tmp_path / "log", command) as server:
            (worker,) = server.workers()
            with WeaviateClient(server.port, 500) as client:
                client.wait_for_answers(1000)
                outcome = client.stop()
            assert outcome.lost == {}, server.output()
            assert server.output().count("no more connections are accepted for now") == 1
            with server.connect() as probe:
                assert probe.request("GET", "/.well-known/ready").status == 204
            assert server.workers() == [worker]

    def test_only_what_it_had_accepted_is_lost(self, default_bundle: Path, tmp_path: Path):
        with ready(default_bundle, tmp_path / "log") as server, WeaviateClient(server.port, IN_FLIGHT) as client:
            client.wait_for_answers(2 * IN_FLIGHT)
            (worker,) = server.workers()
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: server.output().count("ready after") == 2, "there is no successor", server.output)
            client.wait_for_answers(2 * IN_FLIGHT)
            outcome = client.stop()
        assert sum(outcome.lost.values()) <= IN_FLIGHT
        assert not any(reason.startswith("status") for reason in outcome.lost)


class TestOfferOfAnotherProtocol:
    def test_a_client_that_offers_http_2_is_answered_in_http_1(self, server: Server):
        """Java's HttpClient makes the offer with every request."""
        offer = {
            "Connection": "Upgrade, HTTP2-Settings",
            "Upgrade": "h2c",
            "HTTP2-Settings": "AAMAAABkAAQBAAAAAAIAAAAA",
        }
        with server.connect() as connection:
            for text in ("one", "two"):
                answer = connection.request("POST", "/vectors", b'{"text": "%s"}' % text.encode(), offer)
                assert (answer.status, answer.json["text"]) == (200, text)
