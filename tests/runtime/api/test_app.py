"""The HTTP application around a fake encoder: routes, status codes, the shape of every error, limits, tokens."""

from __future__ import annotations

import asyncio
import json
import logging

import numpy as np
import pytest
from falcon import testing

from runtime.errors import InferenceFailed
from runtime.readiness import Readiness
from tests.support.server.fake_encoder import META, VECTOR, FakeEncoder, fake_app, with_bodies


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def readiness() -> Readiness:
    readiness = Readiness()
    readiness.started()
    return readiness


@pytest.fixture
def client(encoder: FakeEncoder, readiness: Readiness) -> testing.TestClient:
    return testing.TestClient(with_bodies(fake_app(encoder, readiness)))


def error_of(result: testing.Result) -> str:
    assert result.headers["content-type"] == "application/json"
    assert list(result.json) == ["error"]
    return result.json["error"]


def post(client: testing.TestClient, body: object, path: str = "/vectors", **options) -> testing.Result:
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.simulate_post(path, body=text, **options)


@pytest.mark.parametrize("path", ["/vectors", "/vectors/"])
def test_vectors_echo_the_text_with_its_vector_and_dim(client: testing.TestClient, path: str):
    result = post(client, {"text": "héllo"}, path)
    assert result.status_code == 200
    assert result.headers["content-type"] == "application/json"
    assert list(result.json) == ["text", "vector", "dim"]
    assert result.json["text"] == "héllo"
    assert result.json["dim"] == 3
    np.testing.assert_array_equal(np.array(result.json["vector"], dtype=np.float32), VECTOR)


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_the_body_is_json_whatever_the_content_type_says(client: testing.TestClient, content_type: str | None):
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert post(client, {"text": "hi"}, headers=headers).status_code == 200


def test_dimensions_shorten_the_vector(client: testing.TestClient):
    assert post(client, {"text": "hi", "config": {"dimensions": 2}}).json["dim"] == 2


def test_a_wrong_field_is_a_400(client: testing.TestClient, encoder: FakeEncoder):
    result = post(client, {"text": 1})
    assert result.status_code == 400
    assert error_of(result) == "text must be a string, not a number"
    assert encoder.requests == []


def test_an_empty_body_is_a_400(client: testing.TestClient):
    result = post(client, b"")
    assert result.status_code == 400
    assert error_of(result).startswith("the body is not valid JSON in UTF-8")


def test_a_failed_inference_is_a_500_with_an_id_that_the_log_has_and_no_internals(readiness, caplog):
    client = testing.TestClient(with_bodies(fake_app(FakeEncoder(InferenceFailed("secret detail")), readiness)))
    with caplog.at_level(logging.ERROR):
        result = post(client, {"text": "hi"})
    assert result.status_code == 500
    sentence = error_of(result)
    assert "secret" not in sentence
    request_id = sentence.rsplit(" ", 1)[1]
    assert request_id in caplog.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(("header", "trace"), [(f"00-{'ab' * 16}-{'cd' * 8}-01", "ab" * 16), ("nonsense é", None)])
def test_the_log_of_an_internal_error_names_the_requests_trace(readiness, caplog, header: str, trace: str | None):
    client = testing.TestClient(with_bodies(fake_app(FakeEncoder(InferenceFailed("secret")), readiness)))
    with caplog.at_level(logging.ERROR):
        post(client, {"text": "hi"}, headers={"traceparent": header})
    (record,) = caplog.records
    assert record.trace_id == trace


def test_an_unforeseen_error_has_the_same_shape(readiness, caplog):
    client = testing.TestClient(with_bodies(fake_app(FakeEncoder(KeyError("bug")), readiness)))
    result = post(client, {"text": "hi"})
    assert result.status_code == 500
    assert "bug" not in error_of(result)


def test_live_is_always_204(client: testing.TestClient):
    result = client.simulate_get("/.well-known/live")
    assert (result.status_code, result.content) == (204, b"")


def test_ready_is_503_until_started_and_again_while_draining(encoder: FakeEncoder):
    readiness = Readiness()
    client = testing.TestClient(with_bodies(fake_app(encoder, readiness)))
    starting = client.simulate_get("/.well-known/ready")
    readiness.started()
    ready = client.simulate_get("/.well-known/ready")
    readiness.drain()
    draining = client.simulate_get("/.well-known/ready")
    assert [starting.status_code, ready.status_code, draining.status_code] == [503, 204, 503]
    assert error_of(starting) == "the server is starting"
    assert error_of(draining) == "the server is draining"
    assert client.simulate_get("/.well-known/live").status_code == 204


def test_ready_is_503_until_the_other_workers_have_started_and_vectors_do_not_wait_for_them(encoder: FakeEncoder):
    others: list[str] = []
    readiness = Readiness(lambda: others == ["have started"])
    client = testing.TestClient(with_bodies(fake_app(encoder, readiness)))
    readiness.started()
    starting = client.simulate_get("/.well-known/ready")
    assert post(client, {"text": "hi"}).status_code == 200
    others.append("have started")
    assert (starting.status_code, error_of(starting)) == (503, "the server is starting")
    assert client.simulate_get("/.well-known/ready").status_code == 204
    readiness.drain()
    assert error_of(client.simulate_get("/.well-known/ready")) == "the server is draining"


def test_starting_after_draining_does_not_turn_ready():
    readiness = Readiness()
    readiness.drain()
    readiness.started()
    assert not readiness.is_ready


def test_vectors_are_refused_where_the_server_does_not_start_in_time(encoder: FakeEncoder):
    result = post(testing.TestClient(with_bodies(fake_app(encoder, Readiness()), deadline=0.0)), {"text": "hi"})
    assert result.status_code == 503
    assert error_of(result) == "the server is starting"
    assert result.headers["retry-after"] == "5"
    assert encoder.requests == []


@pytest.mark.parametrize("deadline", [None, 1e9])
def test_the_deadline_of_a_request_is_that_of_its_text(encoder: FakeEncoder, deadline: float | None):
    readiness = Readiness()
    readiness.started()
    post(testing.TestClient(with_bodies(fake_app(encoder, readiness), deadline)), {"text": "hi"})
    assert encoder.deadlines == [deadline]


def test_vectors_wait_while_the_server_starts(encoder: FakeEncoder):
    readiness = Readiness()

    async def main() -> tuple[int, int]:
        async with testing.ASGIConductor(with_bodies(fake_app(encoder, readiness))) as conductor:
            waiting = asyncio.create_task(conductor.simulate_post("/vectors", body='{"text": "early"}'))
            for _ in range(100):
                await asyncio.sleep(0)
            early = len(encoder.requests)
            readiness.started()
            return early, (await waiting).status_code

    assert asyncio.run(main()) == (0, 200)


def test_vectors_are_answered_while_draining(encoder: FakeEncoder, readiness: Readiness):
    readiness.drain()
    assert post(testing.TestClient(with_bodies(fake_app(encoder, readiness))), {"text": "hi"}).status_code == 200


@pytest.mark.parametrize("path", ["/meta", "/meta/"])
def test_meta_is_the_object_it_was_given(client: testing.TestClient, path: str):
    assert client.simulate_get(path).json == META


@pytest.mark.parametrize("path", ["/", "/vector", "/vectors/x", "/.well-known", "/meta/x"])
def test_an_unknown_path_is_a_404_in_the_same_shape(client: testing.TestClient, path: str):
    result = client.simulate_get(path)
    assert result.status_code == 404
    paths = "/vectors, /meta, /openapi.json, /health, /.well-known/live and /.well-known/ready"
    assert error_of(result) == f"no such path; this server has {paths}"


@pytest.mark.parametrize(("method", "path"), [("GET", "/vectors"), ("PUT", "/vectors/"), ("POST", "/meta")])
def test_a_wrong_method_is_a_405_in_the_same_shape(client: testing.TestClient, method: str, path: str):
    result = client.simulate_request(method, path)
    assert result.status_code == 405
    assert error_of(result) == f"the method {method} is not allowed for this path"
    assert "allow" in result.headers


class TestTokens:
    @pytest.fixture
    def client(self, encoder: FakeEncoder, readiness: Readiness) -> testing.TestClient:
        tokens = frozenset({"first", "sécond"})
        return testing.TestClient(with_bodies(fake_app(encoder, readiness, allowed_tokens=tokens)))

    def test_probes_stay_open(self, client: testing.TestClient):
        assert client.simulate_get("/.well-known/live").status_code == 204
        assert client.simulate_get("/.well-known/ready").status_code == 204

    @pytest.mark.parametrize("value", ["Bearer first", "bearer first", "BEARER  first "])
    def test_a_token_of_the_list_is_let_in(self, client: testing.TestClient, value: str):
        headers = {"Authorization": value}
        assert post(client, {"text": "hi"}, headers=headers).status_code == 200
        assert client.simulate_get("/meta", headers=headers).status_code == 200

    @pytest.mark.parametrize(
        "value", [None, "", "first", "Basic first", "Bearer", "Bearer firs", "Bearer first,sécond"]
    )
    def test_anything_else_is_a_401(self, client: testing.TestClient, encoder: FakeEncoder, value: str | None):
        headers = {} if value is None else {"Authorization": value}
        for result in (post(client, {"text": "hi"}, headers=headers), client.simulate_get("/meta", headers=headers)):
            assert result.status_code == 401
            assert result.json == {"error": "Unauthorized"}
            assert result.headers["www-authenticate"] == "Bearer"
        assert encoder.requests == []

    def test_an_unknown_path_tells_nothing_without_a_token(self, client: testing.TestClient):
        assert client.simulate_get("/nothing").status_code == 401
