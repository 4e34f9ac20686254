"""A list of texts over several workers: each of them computes, and the answer is that of one worker."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from bench.load.texts import SHORT, endless_texts
from bench.process_tree import cpu_seconds
from tests.support.server.scrape import scrape_workers
from tests.support.server.server_process import Connection, Server, ready, wait_until
from tests.support.server.shares import all_accepted, connections_of

TEXTS = list(islice(endless_texts(SHORT, "several workers"), 600))
BODY = json.dumps({"inputs": [*TEXTS, *TEXTS[:10]]}).encode()

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="each worker needs a core")


@pytest.fixture(scope="module")
def alone(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The answer of one worker."""
    with ready(default_bundle, tmp_path_factory.mktemp("one") / "log") as server:
        return asked(server)


@pytest.fixture
def server(default_bundle: Path, tmp_path: Path) -> Iterator[Server]:
    with ready(default_bundle, tmp_path / "log", WORKERS="2", THREADS="2") as server:
        yield server


def asked(server: Server) -> bytes:
    with server.connect() as connection:
        return connection.request("POST", "/embed", BODY).body


def send(connection: Connection) -> None:
    head = f"POST /embed HTTP/1.1\r\nHost: a\r\nContent-Length: {len(BODY)}\r\n\r\n"
    connection.send(head.encode() + BODY)


def worker_without(server: Server) -> int:
    """The process id of the worker that has no connection, where the other one has the only one."""
    all_accepted(server, 1)
    (other,) = (worker for worker in server.workers() if not connections_of(worker, server.port))
    return other


def test_all_workers_compute_and_the_answer_is_that_of_one(server: Server, alone: bytes):
    before, texts = [cpu_seconds([worker]) for worker in server.workers()], scrape_workers(server)
    assert asked(server) == alone
    spent = [cpu_seconds([worker]) - used for worker, used in zip(server.workers(), before, strict=True)]
    assert min(spent) > sum(spent) / 5
    grown = scrape_workers(server)
    assert grown["cpu2vec_texts_total"] - texts["cpu2vec_texts_total"] == len(TEXTS), "each is counted once"
    answered = "cpu2vec_requests_total{route=/embed,status=200}"
    assert grown[answered] - texts[answered] == 1, "what workers ask each other is no request"


def test_a_worker_that_dies_meanwhile_loses_nothing(server: Server, alone: bytes):
    with server.connect() as connection:
        other = worker_without(server)
        used = cpu_seconds([other])
        send(connection)
        wait_until(lambda: cpu_seconds([other]) > used, "the other worker does nothing", server.output)
        os.kill(other, signal.SIGKILL)
        assert connection.answer().body == alone
    wait_until(lambda: server.output().count("ready after") == 3, "nobody takes its place", server.output)
    assert asked(server) == alone, "its successor has its mailbox"
    assert server.terminate() == 0


def test_all_workers_finish_what_was_begun_before_they_end(server: Server, alone: bytes):
    with server.connect() as connection:
        other = worker_without(server)
        used = cpu_seconds([other])
        send(connection)
        wait_until(lambda: cpu_seconds([other]) > used, "the other worker does nothing", server.output)
        server.process.send_signal(signal.SIGTERM)
        assert connection.answer().body == alone
        assert server.exit_status() == 0
    assert "cut" not in server.output()
