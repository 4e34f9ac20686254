"""How the server ends, and what becomes of a worker or a master that is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from pathlib import Path

import pytest

from tests.support.server.server_process import ready, wait_until

LONG = "the quick brown fox jumps over the lazy dog " * 60
HOUR = 3600


def test_the_worker_ends_with_a_master_that_is_killed(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log") as server:
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not is_open(server.port), "the worker outlives its master", server.output)
        socket.create_server(("::", server.port), family=socket.AF_INET6, dualstack_ipv6=True).close()


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True


def test_a_killed_worker_is_replaced(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log") as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.workers() not in ([], [worker]), "no other worker was started")
        server.wait_ready()
        assert server.embed("hello").status == 200


class TestStop:
    """SIGTERM, as `docker stop` sends it. What may not hold it up would do so for longer than a test waits."""

    def test_idle_connections_do_not_hold_it_up(self, default_bundle: Path, tmp_path: Path):
        with ready(default_bundle, tmp_path / "log", drain_seconds=HOUR) as server:
            connections = [server.connect() for _ in range(20)]
            for connection in connections[:10]:
                assert connection.embed("hello").status == 200
            connections[10].send(b"POST /vectors HT")
            server.wait_until_read()
            assert server.terminate() == 0
            for connection in connections:
                connection.close()

    def test_a_half_sent_body_does_not_hold_it_up(self, default_bundle: Path, tmp_path: Path):
        """Once the time to drain is over, the body is not waited for until its own time is over, which is longer.

        The log and the exit status tell what was cut off.
        """
        with ready(default_bundle, tmp_path / "log", drain_seconds=1) as server, server.connect() as connection:
            connection.send(b'POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"text"')
            server.wait_until_read()
            assert server.terminate() == 3
            with pytest.raises(ConnectionError):
                connection.answer()
            assert "1 request(s) in progress were cut off" in server.output()

    def test_what_is_in_flight_and_what_still_comes_is_answered(self, default_bundle: Path, tmp_path: Path):
        body = json.dumps({"text": LONG}).encode()
        head = f"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(ready(default_bundle, tmp_path / "log", drain_seconds=HOUR, THREADS="1"))
            connections = [stack.enter_context(server.connect()) for _ in range(60)]
            for connection in connections:
                connection.send(head + body)
            server.wait_until_read()
            server.process.send_signal(signal.SIGTERM)
            probe = stack.enter_context(server.connect())
            while (refused := probe.request("GET", "/.well-known/ready")).status == 204:
                pass
            assert refused.headers["connection"] == "close"
            late_answer = stack.enter_context(server.connect()).embed("late")
            statuses = [connection.answer().status for connection in connections]
            assert server.exit_status() == 0
        assert statuses == [200] * 60
        assert refused.status == 503
        assert refused.json == {"error": "the server is draining"}
        assert late_answer.status == 200
        assert late_answer.headers["connection"] == "close"

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
    @pytest.mark.parametrize("to_all", [False, True])
    def test_other_signals_that_end_programs_do_the_same(
        self, default_bundle: Path, tmp_path: Path, number: signal.Signals, to_all: bool
    ):
        """Docker signals the master alone; a terminal signals all processes."""
        with ready(default_bundle, tmp_path / "log", drain_seconds=HOUR) as server:
            if to_all:
                os.killpg(server.process.pid, number)
            else:
                server.process.send_signal(number)
            assert server.exit_status() == 0
        assert f"stopping on {number.name}" in server.output()
        assert "was ended by" not in server.output()
