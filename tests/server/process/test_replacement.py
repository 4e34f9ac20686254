"""One server is replaced by another behind a service that hears of it late, as in a rolling update on Kubernetes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.server.forwarder import Forwarder
from tests.support.server.server_process import Connection, ready, wait_until
from tests.support.server.stub_container import Handler, Seen, send, serving
from tests.support.server.stub_server import DIM, embedding
from tests.support.server.weaviate_client import WeaviateClient

IN_FLIGHT = int(os.environ.get("IN_FLIGHT", "64"))
"""Weaviate has 640 with 64 cores. The variable is for trying that."""

DELAY = 2.0
"""The seconds after which a service follows."""

HOUR = 3600.0


def test_nothing_is_lost_while_a_server_is_replaced(default_bundle: Path, tmp_path: Path):
    with (
        ready(default_bundle, tmp_path / "old") as old,
        Forwarder(old.port, delay=DELAY) as service,
        WeaviateClient(service.port, IN_FLIGHT) as client,
    ):
        client.wait_for_answers(3 * IN_FLIGHT)
        with ready(default_bundle, tmp_path / "new") as new:
            service.add(new.port)
            old.process.send_signal(signal.SIGTERM)
            status = old.exit_status()
            wait_until(lambda: service.target == new.port, "the service does not follow")
            client.wait_for_answers(3 * IN_FLIGHT)
            outcome = client.stop()
            served_by_new = service.connections[new.port]
    assert outcome.lost == {}, old.output()
    assert status == 0, old.output()
    assert served_by_new > 0
    assert outcome.answers >= 6 * IN_FLIGHT


@contextmanager
def stub(refusing: list[None] | None = None) -> Iterator[tuple[int, Seen]]:
    """An embedding server without a model: its port, and what it saw. An element in ``refusing`` makes it not ready."""
    answer = embedding()

    def reply(handler: Handler, number: int) -> None:
        if handler.command == "GET" and refusing:
            send(handler, 503, b"")
        else:
            answer(handler, number)

    with serving(reply) as (address, seen):
        yield int(address.rpartition(":")[2]), seen


def texts_of(seen: Seen) -> int:
    return seen.paths.count("/vectors")


class TestService:
    """What stands for a service follows as one does."""

    def test_new_connections_go_to_the_newest_and_old_ones_stay(self):
        with (
            stub() as (old, old_seen),
            stub() as (new, new_seen),
            Forwarder(old, delay=0) as service,
            Connection(service.port) as kept,
        ):
            assert kept.embed("one").status == 200
            service.add(new)
            wait_until(lambda: service.target == new, "the service does not follow")
            assert kept.embed("two").status == 200
            with Connection(service.port) as fresh:
                assert fresh.embed("three").status == 200
        assert (texts_of(old_seen), texts_of(new_seen)) == (2, 1)
        assert service.connections == {old: 1, new: 1}

    def test_it_follows_late(self):
        with stub() as (old, old_seen), stub() as (new, new_seen), Forwarder(old, delay=HOUR) as service:
            service.add(new)
            with Connection(service.port) as connection:
                assert connection.embed("one").status == 200
        assert (texts_of(old_seen), texts_of(new_seen)) == (1, 0)

    def test_one_that_is_ready_no_more_gets_nothing_more(self):
        refusing: list[None] = []
        with stub() as (old, _), stub(refusing) as (new, _), Forwarder(old, delay=0) as service:
            service.add(new)
            wait_until(lambda: service.target == new, "the service does not follow")
            refusing.append(None)
            wait_until(lambda: service.target == old, "the service does not follow")

    def test_without_a_server_connections_are_ended(self):
        with stub([None]) as (only, _), Forwarder(only, delay=0) as service:
            wait_until(lambda: service.target is None, "the service does not follow")
            with pytest.raises(ConnectionError), Connection(service.port) as connection:
                connection.embed("one")

    def test_what_the_server_ends_is_ended_for_the_client(self):
        with stub() as (port, _), Forwarder(port, delay=0) as service, Connection(service.port) as connection:
            connection.send(b"GET / HTTP/1.0\r\n\r\n")
            assert connection.answer().status == 204
            assert connection.is_closed()

    def test_nothing_is_lost_on_the_way(self):
        with (
            stub() as (port, seen),
            Forwarder(port, delay=0) as service,
            WeaviateClient(service.port, 32, dim=DIM) as client,
        ):
            client.wait_for_answers(500)
            outcome = client.stop()
        assert (outcome.lost, outcome.first_wrong) == ({}, "")
        assert outcome.answers == texts_of(seen) == len(outcome.latencies) >= 500
        assert service.connections == {port: outcome.dials}

    def test_a_client_ends_with_its_texts(self):
        with stub() as (port, seen), WeaviateClient(port, 4, texts=["one", "two", "three"], dim=DIM) as client:
            outcome = client.wait()
        assert (outcome.answers, outcome.lost) == (3, {})
        assert texts_of(seen) == 3
