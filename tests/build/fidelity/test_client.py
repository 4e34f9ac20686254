"""The client over real sockets: containers that answer well, badly, slowly, or hang up."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from build.errors import ContainerFailed, ContainerRefused, ContainerUnreachable, NoVector
from build.fidelity import client as client_module
from build.fidelity.client import VectorsClient
from build.fidelity.runtime_process import free_port
from tests.support.server.stub_container import Reply, Seen, always, send, serving, vector_of

CONFIG = {"task_type": "passage"}
REQUEST = {"text": "text", "config": CONFIG}


def client_at(address: str, seconds: float = 10.0) -> VectorsClient:
    return VectorsClient("the stub", address, seconds=seconds)


@contextmanager
def client_of(reply: Reply) -> Iterator[tuple[VectorsClient, Seen]]:
    with serving(reply) as (address, seen), closing(client_at(address)) as client:
        yield client, seen


def test_a_vector_is_requested_as_the_contract_says():
    with client_of(always(200, vector_of(0.5, -1, 2))) as (client, seen):
        request = {"text": "naïve 漢字", "config": CONFIG}
        vector = client.embed(request)
        assert vector.dtype == np.float32
        assert vector.tolist() == [0.5, -1, 2]
        assert json.loads(seen.bodies[0]) == request
        assert seen.paths == ["/vectors"]
        assert seen.headers[0]["Content-Type"] == "application/json"


def test_an_address_may_have_a_path_and_requests_more_headers():
    with serving(always(200, vector_of(1))) as (address, seen):
        client = VectorsClient("the stub", f"{address}/t2v", seconds=10, headers={"Authorization": "Bearer x"})
        with closing(client):
            client.embed(REQUEST)
    assert seen.paths == ["/t2v/vectors"]
    assert seen.headers[0]["Authorization"] == "Bearer x"


def test_https_has_its_own_port():
    assert client_at("https://t2v.example")._connection.port == 443


def test_all_texts_go_over_one_connection():
    with client_of(always(200, vector_of(1, 2))) as (client, seen):
        for _ in range(5):
            client.embed(REQUEST)
        assert (len(seen.bodies), seen.connections) == (5, 1)


class TestReadiness:
    @pytest.mark.parametrize(("status", "ready"), [(204, True), (200, False), (503, False)])
    def test_a_container_is_ready_when_it_says_so(self, status: int, ready: bool):
        with client_of(always(status, b"")) as (client, seen):
            assert client.is_ready() is ready
            assert seen.paths == ["/.well-known/ready"]

    def test_a_container_that_nobody_started_is_not_ready(self):
        with closing(client_at(f"http://127.0.0.1:{free_port()}")) as client:
            assert not client.is_ready()

    def test_readiness_and_vectors_share_a_connection(self):
        with client_of(lambda handler, n: send(handler, 200 if n else 204, vector_of(1) if n else b"")) as (
            client,
            seen,
        ):
            assert client.is_ready()
            client.embed(REQUEST)
            assert seen.connections == 1


class TestConnections:
    def test_one_that_is_closed_after_each_answer_is_opened_again(self):
        def reply(handler: BaseHTTPRequestHandler, number: int) -> None:
            send(handler, 200, vector_of(number), Connection="close")
            handler.close_connection = True

        with client_of(reply) as (client, seen):
            assert [client.embed(REQUEST).tolist() for _ in range(3)] == [[0], [1], [2]]
            assert seen.connections == 3

    @pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"])
    def test_one_that_is_closed_in_the_middle_is_retried_once(self, part: bytes):
        def reply(handler: BaseHTTPRequestHandler, number: int) -> None:
            if number == 1:
                handler.wfile.write(part)
                handler.close_connection = True
            else:
                send(handler, 200, vector_of(number))

        with client_of(reply) as (client, seen):
            assert [client.embed(REQUEST).tolist() for _ in range(2)] == [[0], [2]]
            assert seen.connections == 2

    @pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", b"no HTTP\r\n\r\n"])
    def test_a_server_that_always_hangs_up_is_reported(self, part: bytes):
        def reply(handler: BaseHTTPRequestHandler, number: int) -> None:
            handler.wfile.write(part)
            handler.close_connection = True

        with client_of(reply) as (client, seen):
            with pytest.raises(ContainerUnreachable, match=r"the connection to the stub failed: "):
                client.embed(REQUEST)
            assert seen.connections == 2

    def test_a_refused_connection_is_reported(self):
        client = client_at(f"http://127.0.0.1:{free_port()}")
        with pytest.raises(ContainerUnreachable, match="Connection refused"):
            client.embed(REQUEST)

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b"])
    def test_an_unknown_host_is_reported(self, host: str):
        client = client_at(f"http://{host}")
        with pytest.raises(ContainerUnreachable, match="the connection to the stub failed"):
            client.embed(REQUEST)

    def test_a_server_without_tls_is_reported(self):
        with serving(always(200, vector_of(1))) as (address, _):
            client = client_at(address.replace("http:", "https:"))
            with closing(client), pytest.raises(ContainerUnreachable, match="TLS failed"):
                client.embed(REQUEST)

    def test_a_server_that_does_not_answer_in_time_is_reported(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            client = client_at(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2)
            with closing(client), pytest.raises(ContainerUnreachable, match="did not answer within 0.2 s"):
                client.embed(REQUEST)


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "body", "message"),
        [
            (401, b'{"error": "Unauthorized"}', "answered 401: Unauthorized (for 'some text')"),
            (404, b"<html>", "answered 404: <html> (for 'some text')"),
            (500, b'{"error": "out of\\nluck"}', "answered 500: out of?luck (for 'some text')"),
            (503, b"starting", "answered 503: starting (for 'some text')"),
            (301, b"", "answered 301: an empty answer (for 'some text')"),
            (400, b"[" * 100_000, "answered 400: [[["),
        ],
    )
    def test_a_refusal_is_reported_in_one_line(self, status: int, body: bytes, message: str):
        with client_of(always(status, body)) as (client, _), pytest.raises(ContainerRefused) as refused:
            client.embed({"text": "some text"})
        assert str(refused.value).startswith(f"the stub {message}")
        assert len(str(refused.value)) < 400
        assert str(refused.value).isprintable()

    def test_a_hint_replaces_what_the_container_says(self):
        with serving(always(401, b'{"error": "Unauthorized"}')) as (address, _):
            client = VectorsClient("the stub", address, seconds=10, hints={401: "pass a token"})
            with closing(client), pytest.raises(ContainerRefused, match="^the stub answered 401: pass a token$"):
                client.embed(REQUEST)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>Welcome</html>",
            b"[1, 2]",
            b"7",
            b"null",
            b"{}",
            b'{"vector": null}',
            b'{"vector": []}',
            b'{"vector": {}}',
            b'{"vector": "1 2"}',
            b'{"vector": [[1, 2]]}',
            b'{"vector": ["1", "2"]}',
            b'{"vector": [1, true]}',
            b'{"vector": [1, null]}',
            b'{"vector": [1, NaN]}',
            b'{"vector": [1, 1e39]}',
            b'{"vector": [1' + b"0" * 400 + b"]}",
            b"[" * 100_000,
            b"\xff\xfe",
        ],
    )
    def test_anything_but_a_vector_of_finite_numbers_is_refused(self, body: bytes):
        with client_of(always(200, body)) as (client, _), pytest.raises(NoVector, match="without a vector of finite"):
            client.embed(REQUEST)

    def test_vectors_of_two_sizes_are_refused(self):
        sizes = [2, 2, 3]
        with client_of(lambda handler, n: send(handler, 200, vector_of(*[1.0] * sizes[n]))) as (client, _):
            client.embed({"text": "one"})
            client.embed({"text": "two"})
            with pytest.raises(NoVector, match="answered 'three' with 3 components, and earlier ones with 2"):
                client.embed({"text": "three"})

    def test_an_endless_answer_is_not_read_to_its_end(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 1000)
        with client_of(always(200, b" " * 2000)) as (client, _), pytest.raises(NoVector, match="more than 1000 bytes"):
            client.embed(REQUEST)


def test_every_failure_is_of_one_kind():
    """So that verification can report any of them."""
    assert all(issubclass(error, ContainerFailed) for error in (ContainerRefused, ContainerUnreachable, NoVector))
