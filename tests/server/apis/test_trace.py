"""The log's line about a request names the trace that the request belongs to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.bundles.rerankers import unverified_reranker
from tests.support.models.tiny_rerankers import RERANKERS
from tests.support.server.server_process import Server, ready, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADER = f"00-{TRACE}-00f067aa0ba902b7-01"
BODY = b'{"query": "river", "documents": ["a", "b"]}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    bundle, log = unverified_reranker(RERANKERS[0]), tmp_path_factory.mktemp("log") / "log"
    with ready(bundle, log, LOG_LEVEL="debug", LOG_FORMAT="json") as server:
        yield server


def lines_about(server: Server, path: str) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
    return [event for event in events if f" {path} " in event["message"]]


def line_about(server: Server, path: str) -> dict[str, Any]:
    """The line about the only request for this path."""
    wait_until(lambda: lines_about(server, path), f"no line about {path}", server.output)
    (event,) = lines_about(server, path)
    return event


def test_a_request_has_a_line_with_its_trace(server: Server):
    with server.connect() as connection:
        assert connection.request("POST", "/rerank?secret=1", BODY, {"traceparent": HEADER}).status == 200
    event = line_about(server, "/rerank")
    assert event["trace_id"] == TRACE
    assert event["level"] == "debug"
    assert event["message"].startswith("POST /rerank 200 in ")


@pytest.mark.parametrize(
    ("number", "headers"),
    [
        (1, {}),
        (2, {"traceparent": "nonsense"}),
        (3, {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}),
        (4, {"traceparent": HEADER, "Traceparent": HEADER}),
    ],
)
def test_a_header_that_is_absent_or_not_valid_is_ignored(server: Server, number: int, headers: dict[str, str]):
    with server.connect() as connection:
        assert connection.request("GET", f"/nothing/{number}", headers=headers).status == 404
    assert "trace_id" not in line_about(server, f"/nothing/{number}")


def test_a_line_break_in_a_path_makes_no_line_of_its_own(server: Server):
    with server.connect() as connection:
        assert connection.request("GET", "/a%0Aforged", headers={"traceparent": HEADER}).status == 404
    assert line_about(server, "/a%0Aforged")["trace_id"] == TRACE
    assert "\nforged" not in server.output()


def test_a_request_whose_client_has_left_has_a_line(server: Server):
    with server.connect() as connection:
        head = b"POST /v2/rerank HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\ntraceparent: %s\r\n\r\n"
        connection.send(head % HEADER.encode())
        server.wait_until_read()
    event = line_about(server, "/v2/rerank")
    assert event["trace_id"] == TRACE
    assert event["message"].startswith("POST /v2/rerank left in ")
