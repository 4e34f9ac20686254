"""Several worker processes behind one port: what they share, what each has, and who takes a connection."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.host.priority import LOWEST, NICER
from tests.support.server.process_usage import nice_values, private_bytes
from tests.support.server.server_process import Server, ready, started
from tests.support.server.shares import all_accepted, connections_of, shares

WORKERS = 2

MOST_PRIVATE = 40_000_000
"""Bytes of a worker beside what it shares: weights, libraries, and what was imported before the fork."""

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < WORKERS, reason="each worker needs a core")


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(default_bundle, tmp_path_factory.mktemp("workers") / "log", WORKERS=str(WORKERS), THREADS="2") as server:
        yield server


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


def test_each_has_little_memory_of_its_own(server: Server):
    for number in range(32):
        assert server.embed(f"number {number} " * 10).status == 200
    for worker in server.workers():
        assert private_bytes(worker) < MOST_PRIVATE


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
