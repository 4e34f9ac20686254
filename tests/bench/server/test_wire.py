"""The bytes of one exchange, right and wrong."""

from __future__ import annotations

import json

import pytest

from bench.errors import LoadFailed
from bench.server.wire import check_answer, closes, parse_answer, response_size, vectors_request


class TestWire:
    def test_the_request_is_what_weaviates_client_sends(self):
        head, _, body = vectors_request("schöne Worte", 8080).partition(b"\r\n\r\n")
        assert head.startswith(b"POST /vectors HTTP/1.1\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"content-type" not in head.lower()
        assert json.loads(body) == {
            "text": "schöne Worte",
            "dims": 0,
            "vector": None,
            "error": "",
            "config": {"pooling_strategy": "masked_mean", "task_type": "passage"},
        }

    def test_a_response_is_measured_once_its_header_is_there(self):
        response = b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-LENGTH: 3\r\n\r\nabc"
        assert response_size(response) == len(response)
        assert response_size(response[:30]) is None

    def test_a_response_without_length_is_refused(self):
        with pytest.raises(LoadFailed, match="Content-Length"):
            response_size(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    @pytest.mark.parametrize(
        ("status", "body", "message"),
        [
            (503, '{"error":"busy"}', "status is 503.*busy"),
            (200, '{"text":"b","vector":[1,2],"dim":2}', "echo"),
            (200, '{"text":"a","vector":[1,2,3],"dim":3}', "no vector of 2"),
            (200, '{"text":"a"}', "no vector of 2"),
        ],
    )
    def test_wrong_answers_are_found_out(self, status: int, body: str, message: str):
        with pytest.raises(LoadFailed, match=message):
            check_answer(f"HTTP/1.1 {status} X\r\n\r\n{body}".encode(), b'"a"', 2)

    @pytest.mark.parametrize(
        "body",
        [
            "[1,2]",
            '{"text":"a","vector":[1,2],"dim":3}',
            '{"text":"a","vector":[1,NaN],"dim":2}',
            '{"text":"b","vector":[1,2],"dim":2}',
            '{"text":"a","vector":null,"dim":2}',
            "{",
        ],
    )
    def test_parsing_finds_out_more(self, body: str):
        with pytest.raises(LoadFailed):
            parse_answer(f"HTTP/1.1 200 OK\r\n\r\n{body}".encode(), "a")

    def test_a_right_answer_passes(self):
        response = b'HTTP/1.1 200 OK\r\n\r\n{"text":"a","vector":[1,2.5],"dim":2}'
        check_answer(response, b'"a"', 2)
        assert parse_answer(response, "a") == [1, 2.5]

    @pytest.mark.parametrize(
        ("head", "closed"),
        [
            (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0", True),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCONNECTION: Close", True),
            (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 19", False),
        ],
    )
    def test_a_header_says_whether_the_connection_ends(self, head: bytes, closed: bool):
        assert closes(head + b"\r\n\r\n\r\nConnection: close") == closed
