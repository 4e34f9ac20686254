"""Several worker processes behind one port: what they share, what each has, and who takes a connection."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.host.priority import LOWEST, NICER
from tests.support.server.process_usage import nice_values
from tests.support.server.server_process import Connection, Server, ready, started, wait_until

WORKERS = 2
HOUR = 3600

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < WORKERS, reason="each worker needs a core")


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(default_bundle, tmp_path_factory.mktemp("workers") / "log", WORKERS=str(WORKERS), THREADS="2") as server:
        yield server


def connections_of(pid: int, port: int) -> int:
    """How many connections of clients the process has, by the kernel's tables."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "01":
                inodes.add(f"socket:[{fields[9]}]")
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(descriptor.readlink()) in inodes
    return found


def shares(server: Server) -> list[int]:
    """The connections of each worker, the fewest first."""
    return sorted(connections_of(worker, server.port) for worker in server.workers())


def all_accepted(server: Server, count: int) -> None:
    wait_until(lambda: sum(shares(server)) == count, "not all connections are accepted", server.output)


class TestConnections:
    def test_eight_are_four_for_each_of_two(self, server: Server):
        all_accepted(server, 0)
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(server.connect())
            all_accepted(server, 8)
            assert shares(server) == [4, 4]
        all_accepted(server, 0)

    def test_they_are_shared_evenly_at_each_step(self, server: Server):
        all_accepted(server, 0)
        with contextlib.ExitStack() as stack:
            for count in range(1, 9):
                connection = stack.enter_context(server.connect())
                all_accepted(server, count)
                assert shares(server) == [count // 2, count - count // 2]
                assert connection.embed(f"the {count}th").status == 200
        all_accepted(server, 0)

    def test_a_request_in_progress_weighs_more_than_connections_that_are_kept(self, server: Server):
        """One worker waits for the rest of a body; the next ones go to the other, however many that keeps."""
        all_accepted(server, 0)
        with contextlib.ExitStack() as stack:
            busy = stack.enter_context(server.connect())
            busy.send(b'POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\n{"text"')
            server.wait_until_read()
            all_accepted(server, 1)
            for count in range(1, 6):
                assert stack.enter_context(server.connect()).embed("kept").status == 200
                assert shares(server) == [1, count]
            busy.send(b': "hi"}')
            assert busy.answer().status == 200
        all_accepted(server, 0)

    def test_one_that_is_stopped_does_not_keep_others_waiting_for_ever(self, server: Server):
        """It is the least busy one, is called, and does not come."""
        all_accepted(server, 0)
        stopped, other = server.workers()
        os.kill(stopped, signal.SIGSTOP)
        try:
            with contextlib.ExitStack() as stack:
                for _ in range(4):
                    assert stack.enter_context(server.connect()).embed("answered").status == 200
                assert connections_of(other, server.port) == 4
        finally:
            os.kill(stopped, signal.SIGCONT)
        all_accepted(server, 0)
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(server.connect())
            all_accepted(server, 8)
            assert shares(server) == [4, 4], "it has come back"
        all_accepted(server, 0)


def test_each_worker_answers_with_the_same_vectors(server: Server):
    all_accepted(server, 0)
    with server.connect() as one, server.connect() as other:
        all_accepted(server, 2)
        assert shares(server) == [1, 1]
        answers = [connection.embed("the same text") for connection in (one, other)]
        assert answers[0].status == 200
        assert answers[0].body == answers[1].body
        assert np.isclose(np.linalg.norm(answers[0].json["vector"]), 1.0, atol=1e-5)
        metas = [connection.request("GET", "/meta").json for connection in (one, other)]
        assert metas[0] == metas[1]
        assert metas[0]["serving"]["workers"] == WORKERS
    all_accepted(server, 0)


def test_the_log_says_how_many_there_are_and_what_each_has(server: Server):
    (line,) = [line for line in server.output().splitlines() if "workers, each with" in line]
    assert re.search(r"INFO 2 workers, each with 1 inference thread\(s\) and [\d,]+ MB of the memory$", line)


def test_each_has_its_share_of_the_inference_threads(server: Server):
    for worker in server.workers():
        threads = nice_values(worker)
        answering = threads.pop(worker)
        assert list(threads.values()) == [min(LOWEST, answering + NICER)]


def test_one_alone_is_the_default_on_few_cores(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log", THREADS="2") as server:
        assert len(server.workers()) == 1
        assert "workers, each with" not in server.output()


def test_more_than_threads_are_lowered_with_a_line(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log", THREADS="1", WORKERS="8") as server:
        assert len(server.workers()) == 1
        assert "WARNING WORKERS=8 is lowered to 1, the number of inference threads" in server.output()


@pytest.mark.parametrize("value", ["0", "257", "two"])
def test_a_number_that_makes_no_sense_stops_the_start(default_bundle: Path, tmp_path: Path, value: str):
    with started(default_bundle, tmp_path / "log", WORKERS=value) as server:
        assert server.exit_status() == 2
    assert server.output() == f"cpu2vec: WORKERS must be a whole number from 1 to 256, not '{value}'\n"


class TestEnds:
    def test_one_that_is_killed_is_replaced_and_the_others_lose_nothing(self, default_bundle: Path, tmp_path: Path):
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

    def test_all_drain(self, default_bundle: Path, tmp_path: Path):
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

    def test_requests_that_any_of_them_cuts_show_in_the_status(self, default_bundle: Path, tmp_path: Path):
        with (
            ready(default_bundle, tmp_path / "log", drain_seconds=1, WORKERS="2", THREADS="2") as server,
            server.connect() as connection,
        ):
            connection.send(b'POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"text"')
            server.wait_until_read()
            assert server.terminate() == 3
        assert server.output().count("1 request(s) in progress were cut off") == 1

    def test_all_end_with_a_master_that_is_killed(self, default_bundle: Path, tmp_path: Path):
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
