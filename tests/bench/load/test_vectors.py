"""Requests for vectors, and their answers, right and wrong."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from bench.errors import LoadFailed
from bench.load.modules import Module
from bench.load.texts import SHORT
from bench.load.vectors import Vectors, parse_vector, vector_request
from bench.load.wire import Request

ECHO = Request(b'"a"', b"")


class TestRequests:
    def test_are_what_weaviates_client_sends(self):
        head, _, body = vector_request("schöne Worte", 8080).wire.partition(b"\r\n\r\n")
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

    def test_of_text2vec_model2vec_name_no_pooling(self):
        request = next(Module.TEXT2VEC_MODEL2VEC.route(2).requests(SHORT, 8080, "a"))
        fields = json.loads(request.wire.partition(b"\r\n\r\n")[2])
        assert list(fields) == ["text", "dims", "vector", "error", "config"]
        assert fields["config"] == {"task_type": "passage"}

    def test_have_texts_of_the_length_and_the_answer_must_echo_them(self):
        for request in islice(Vectors(2).requests(SHORT, 8080, "a"), 20):
            text = json.loads(request.wire.partition(b"\r\n\r\n")[2])["text"]
            assert request.echo == text.encode()
            assert SHORT.low <= len(text.split()) <= SHORT.high


class TestAnswers:
    @pytest.mark.parametrize(
        ("status", "body", "message"),
        [
            (503, '{"error":"busy"}', "status is 503.*busy"),
            (200, '{"text":"b","vector":[1,2],"dim":2}', "echo"),
            (200, '{"text":"a","vector":[1,2,3],"dim":3}', "no vector of 2"),
            (200, '{"text":"a"}', "no vector of 2"),
        ],
    )
    def test_wrong_ones_are_found_out(self, status: int, body: str, message: str):
        with pytest.raises(LoadFailed, match=message):
            Vectors(2).check(f"HTTP/1.1 {status} X\r\n\r\n{body}".encode(), ECHO)

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
            parse_vector(f"HTTP/1.1 200 OK\r\n\r\n{body}".encode(), "a")

    def test_a_right_one_passes(self):
        response = b'HTTP/1.1 200 OK\r\n\r\n{"text":"a","vector":[1,2.5],"dim":2}'
        Vectors(2).check(response, ECHO)
        assert Vectors(2).parse(response, Request(b"a", b"")) == [1, 2.5]
