"""The client of containers over real sockets: servers that answer well, badly, slowly, or hang up."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from build.compare import client as vectors_client
from build.compare.client import VectorsClient, parse_address
from build.errors import BuildError, ContainerRefused, ContainerUnreachable, NoVector
from build.fidelity.runtime_process import free_port

TOKEN = "aVeryPrivateToken0123456789"
CONFIG = {"task_type": "passage"}


@dataclass
class Seen:
    """What reached a server: paths, headers and bodies of requests, and the number of connections."""

    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0


Reply = Callable[[BaseHTTPRequestHandler, int], None]


@contextmanager
def serving(reply: Reply) -> Iterator[tuple[str, Seen]]:
    """A server that lets ``reply`` answer its n-th request, counted from 0; its address, and what it saw."""
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            seen.connections += 1
            super().setup()

        def do_POST(self) -> None:
            seen.paths.append(self.path)
            seen.headers.append(dict(self.headers))
            seen.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            reply(self, len(seen.bodies) - 1)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def always(status: int, body: bytes) -> Reply:
    return lambda handler, number: send(handler, status, body)


def vector_of(*components: float) -> bytes:
    return json.dumps({"text": "as sent", "vector": components, "dim": len(components)}).encode()


@contextmanager
def client_of(reply: Reply, token: str | None = None, seconds: float = 10.0, path: str = "") -> Iterator:
    with serving(reply) as (address, seen):
        client = VectorsClient("the old container", address + path, token, seconds)
        try:
            yield client, seen
        finally:
            client.close()


def test_a_vector_is_asked_for_as_the_contract_says():
    with client_of(always(200, vector_of(0.5, -1, 2))) as (client, seen):
        vector = client.embed("naïve 漢字", CONFIG)
        assert vector.dtype == np.float32
        assert vector.tolist() == [0.5, -1, 2]
        assert json.loads(seen.bodies[0]) == {"text": "naïve 漢字", "config": CONFIG}
        assert seen.paths == ["/vectors"]
        assert "Authorization" not in seen.headers[0]


def test_all_texts_go_over_one_connection():
    with client_of(always(200, vector_of(1, 2))) as (client, seen):
        for _ in range(5):
            client.embed("text", CONFIG)
        assert (len(seen.bodies), seen.connections) == (5, 1)


@pytest.mark.parametrize("token", [TOKEN, f" {TOKEN}\n"])
def test_a_token_is_sent(token: str):
    with client_of(always(200, vector_of(1)), token=token) as (client, seen):
        client.embed("text", CONFIG)
        assert seen.headers[0]["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("token", [f"{TOKEN}\r\nX: y", f"{TOKEN}é"])
def test_what_is_no_token_is_refused_without_being_shown(token: str):
    with pytest.raises(BuildError, match="OLD_TOKEN holds characters") as refused:
        VectorsClient("the old container", "http://127.0.0.1:1", token)
    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/", "/vectors"), ("/vectors", "/vectors"), ("/vectors/", "/vectors"), ("/t2v", "/t2v/vectors")],
)
def test_an_address_may_have_a_path(path: str, asked: str):
    with client_of(always(200, vector_of(1)), path=path) as (client, seen):
        client.embed("text", CONFIG)
        assert seen.paths == [asked]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost:8080",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://host:x",
        "http://host:0",
        "http://ho st",
        "http://host/ü",
        "http://host?a=b",
        "http://host#a",
        "http://[::1",
        "http://host\n",
    ],
)
def test_what_is_no_address_is_told(address: str):
    with pytest.raises(ContainerUnreachable, match="is not the address of a container: give one like http://localhost"):
        parse_address(address)


@pytest.mark.parametrize("address", [f"http://me:{TOKEN}@host", f"http://{TOKEN}@host:x"])
def test_a_password_in_an_address_is_refused_without_being_shown(address: str):
    with pytest.raises(ContainerUnreachable) as refused:
        parse_address(address)
    assert TOKEN not in str(refused.value)


def test_https_has_its_own_port():
    assert VectorsClient("the old container", "https://t2v.example")._connection.port == 443


class TestConnections:
    def test_one_that_is_closed_after_each_answer_is_opened_again(self):
        def reply(handler: BaseHTTPRequestHandler, number: int) -> None:
            send(handler, 200, vector_of(number), Connection="close")
            handler.close_connection = True

        with client_of(reply) as (client, seen):
            assert [client.embed("text", CONFIG).tolist() for _ in range(3)] == [[0], [1], [2]]
            assert seen.connections == 3

    @pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"])
    def test_one_that_is_closed_in_the_middle_is_tried_once_more(self, part: bytes):
        def reply(handler: BaseHTTPRequestHandler, number: int) -> None:
            if number == 1:
                handler.wfile.write(part)
                handler.close_connection = True
            else:
                send(handler, 200, vector_of(number))

        with client_of(reply) as (client, seen):
            assert [client.embed("text", CONFIG).tolist() for _ in range(2)] == [[0], [2]]
            assert seen.connections == 2

    @pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{", b"no HTTP\r\n\r\n"])
    def test_a_server_that_always_hangs_up_is_told(self, part: bytes):
        def reply(handler: BaseHTTPRequestHandler, number: int) -> None:
            handler.wfile.write(part)
            handler.close_connection = True

        with client_of(reply) as (client, seen):
            with pytest.raises(
                ContainerUnreachable, match=r"the connection to the old container at http://\S+ failed: "
            ):
                client.embed("text", CONFIG)
            assert seen.connections == 2

    def test_nobody_who_listens_is_told(self):
        client = VectorsClient("the old container", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(ContainerUnreachable, match="Connection refused"):
            client.embed("text", CONFIG)

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b"])
    def test_a_host_that_nobody_knows_is_told(self, host: str):
        client = VectorsClient("the old container", f"http://{host}")
        with pytest.raises(ContainerUnreachable, match=f"the connection to the old container at http://{host} failed"):
            client.embed("text", CONFIG)

    def test_a_server_without_tls_is_told(self):
        with serving(always(200, vector_of(1))) as (address, _):
            client = VectorsClient("the old container", address.replace("http:", "https:"))
            with closing(client), pytest.raises(ContainerUnreachable, match="TLS failed"):
                client.embed("text", CONFIG)

    def test_a_server_that_does_not_answer_in_time_is_told(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            client = VectorsClient("the old container", f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2)
            with closing(client), pytest.raises(ContainerUnreachable, match="did not answer within 0.2 s"):
                client.embed("text", CONFIG)


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "body", "said"),
        [
            (401, b'{"error": "Unauthorized"}', "answered 401: set OLD_TOKEN to a bearer token that it accepts"),
            (403, b"", "answered 403: set OLD_TOKEN to a bearer token that it accepts"),
            (404, b"<html>", "answered 404: there is no POST /vectors below this address"),
            (405, b"", "answered 405: there is no POST /vectors below this address"),
            (500, b'{"error": "out of\\nluck"}', "answered 500: out of?luck (for 'some text')"),
            (503, b"starting", "answered 503: starting (for 'some text')"),
            (301, b"", "answered 301: an empty answer (for 'some text')"),
            (400, b"[" * 100_000, "answered 400: [[["),
        ],
    )
    def test_a_refusal_is_told_in_one_line(self, status: int, body: bytes, said: str):
        with client_of(always(status, body), token=TOKEN) as (client, _), pytest.raises(ContainerRefused) as refused:
            client.embed("some text", CONFIG)
        assert said in str(refused.value)
        assert len(str(refused.value)) < 400
        assert str(refused.value).isprintable()
        assert TOKEN not in str(refused.value)

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
    def test_what_is_no_vector_of_finite_numbers_is_told(self, body: bytes):
        with client_of(always(200, body)) as (client, _), pytest.raises(NoVector, match="without a vector of finite"):
            client.embed("text", CONFIG)

    def test_vectors_of_two_sizes_are_told(self):
        sizes = [2, 2, 3]
        with client_of(lambda handler, n: send(handler, 200, vector_of(*[1.0] * sizes[n]))) as (client, _):
            client.embed("one", CONFIG)
            client.embed("two", CONFIG)
            with pytest.raises(NoVector, match="answered 'three' with 3 components, and texts before with 2"):
                client.embed("three", CONFIG)

    def test_an_answer_without_end_is_not_read_to_its_end(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(vectors_client, "MAX_ANSWER_BYTES", 1000)
        with client_of(always(200, b" " * 2000)) as (client, _), pytest.raises(NoVector, match="more than 1000 bytes"):
            client.embed("text", CONFIG)
