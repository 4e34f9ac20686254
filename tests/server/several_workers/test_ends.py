"""Several workers: one that dies is replaced while the others serve, and all of them drain."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.support.server.server_process import Connection, Server, ready, started, wait_until
from tests.support.server.shares import all_accepted, shares

HOUR = 3600

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="each worker needs a core")


def test_one_that_is_killed_is_replaced_and_the_others_lose_nothing(default_bundle: Path, tmp_path: Path):
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ready(default_bundle, tmp_path / "log", WORKERS="2", THREADS="2"))
        connections = [stack.enter_context(server.connect()) for _ in range(8)]
        all_accepted(server, 8)
        killed, other = server.workers()
        os.kill(killed, signal.SIGKILL)
        answered = 0
        for connection in connections:
            with contextlib.suppress(ConnectionError):
                answered += connection.embed("still there").status == 200
        assert answered == 4
        with server.connect() as probe:
            assert probe.request("GET", "/.well-known/ready").status == 204, "the others go on"
        for _ in range(20):
            assert server.embed("a new connection").status == 200
        wait_until(lambda: server.output().count("ready after") == 3, "nobody takes its place", server.output)
        assert other in server.workers()
        assert len(server.workers()) == 2
        for connection in connections:
            connection.close()
        all_accepted(server, 0)
        again = [stack.enter_context(server.connect()) for _ in range(8)]
        all_accepted(server, 8)
        assert shares(server) == [4, 4]
        for connection in again:
            assert connection.embed("whole again").status == 200
        assert server.terminate() == 0


def test_it_is_ready_once_all_of_them_are(default_bundle: Path, tmp_path: Path):
    """One is stopped while it loads. Those who are ready answer requests in the meantime."""
    for attempt in itertools.count():
        with started(default_bundle, tmp_path / f"log{attempt}", WORKERS="2", THREADS="2") as server:
            wait_until(lambda server=server: len(server.workers()) == 2, "no workers start", server.output)
            stopped, _ = server.workers()
            os.kill(stopped, signal.SIGSTOP)
            wait_until(lambda server=server: "ready after" in server.output(), "none is ready", server.output)
            if server.output().count("ready after") == 2:
                continue  # it was stopped too late
            assert refused(server)
            assert server.embed("answered").status == 200
            assert refused(server)
            os.kill(stopped, signal.SIGCONT)
            server.wait_ready()
            assert server.output().count("ready after") == 2
            return


def test_all_drain(default_bundle: Path, tmp_path: Path):
    body = json.dumps({"text": "the quick brown fox jumps over the lazy dog " * 60}).encode()
    head = f"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            ready(default_bundle, tmp_path / "log", drain_seconds=HOUR, WORKERS="2", THREADS="2")
        )
        connections = [stack.enter_context(server.connect()) for _ in range(40)]
        for connection in connections:
            connection.send(head + body)
        server.wait_until_read()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(server), "nobody says that the server drains", server.output)
        assert {connection.answer().status for connection in connections} == {200}
        assert server.exit_status() == 0


def test_requests_that_any_of_them_cuts_show_in_the_status(default_bundle: Path, tmp_path: Path):
    with (
        ready(default_bundle, tmp_path / "log", drain_seconds=1, WORKERS="2", THREADS="2") as server,
        server.connect() as connection,
    ):
        connection.send(b'POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"text"')
        server.wait_until_read()
        assert server.terminate() == 3
    assert server.output().count("1 request(s) in progress were cut off") == 1


def test_all_end_with_a_master_that_is_killed(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log", WORKERS="2", THREADS="2") as server:
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not is_open(server.port), "workers outlive their master", server.output)


def refused(server: Server) -> bool:
    with Connection(server.port) as probe:
        return probe.request("GET", "/.well-known/ready").status == 503


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True
