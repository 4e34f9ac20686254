"""Requests for the vectors of many texts, and their answers, right and wrong."""

from __future__ import annotations

import base64
import json
import struct
from itertools import islice
from typing import Any

import pytest

from bench.errors import LoadFailed
from bench.load.embeddings import Embeddings, embeddings_request, parse_embeddings
from bench.load.modules import Module
from bench.load.texts import SHORT, endless_texts

FLOATS = Embeddings(3, 2, "float")
CODED = Embeddings(3, 2, "base64")
REQUEST = embeddings_request(["a", "b"], "float", 1)
ROWS = [[1, -2.5, 3e-5], [0.25, 0, -1]]


def coded(row: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode()


def response(rows: Any, status: int = 200, first: int = 0) -> bytes:
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows, first)]
    answer = {"object": "list", "data": data, "model": "a, b", "usage": {"prompt_tokens": 4, "total_tokens": 4}}
    return f"HTTP/1.1 {status} X\r\n\r\n{json.dumps(answer, separators=(',', ':'))}".encode()


class TestRequests:
    @pytest.mark.parametrize(("module", "encoding"), [(Module.OPENAI_FLOAT, "float"), (Module.OPENAI_BASE64, "base64")])
    def test_have_so_many_texts_each_and_none_twice(self, module: Module, encoding: str):
        sent = list(islice(module.route(3, 2).requests(SHORT, 8080, "a"), 3))
        texts = list(islice(endless_texts(SHORT, "a"), 6))
        for number, request in enumerate(sent):
            head, _, body = request.wire.partition(b"\r\n\r\n")
            assert head.startswith(b"POST /v1/embeddings HTTP/1.1\r\n")
            assert f"Content-Length: {len(body)}".encode() in head
            fields = json.loads(body)
            assert fields["input"] == texts[2 * number : 2 * number + 2]
            assert fields["encoding_format"] == encoding


class TestAnswers:
    @pytest.mark.parametrize(
        ("rows", "status", "message"),
        [
            (ROWS, 503, "status is 503"),
            ([], 200, "no 2 vectors of 3"),
            (ROWS[:1], 200, "no 2 vectors of 3"),
            ([*ROWS, ROWS[0]], 200, "no 2 vectors of 3"),
            ([ROWS[0], [1, 2]], 200, "no 2 vectors of 3"),
            ([ROWS[0], [1, 2, 3, 4]], 200, "no 2 vectors of 3"),
        ],
    )
    def test_wrong_ones_are_found_out(self, rows: Any, status: int, message: str):
        with pytest.raises(LoadFailed, match=message):
            FLOATS.check(response(rows, status), REQUEST)

    @pytest.mark.parametrize("rows", [[], ["AAAA"], [coded(ROWS[0])]])
    def test_wrong_ones_in_base64_are_found_out(self, rows: Any):
        with pytest.raises(LoadFailed, match="no 2 vectors of 3"):
            CODED.check(response(rows), REQUEST)

    def test_short_ones_in_base64_are_found_out(self):
        width = 64
        answer = response([coded([0.5] * width), coded([0.5] * (width // 2))])
        with pytest.raises(LoadFailed, match="no 2 vectors of 64"):
            Embeddings(width, 2, "base64").check(answer, REQUEST)

    @pytest.mark.parametrize(
        "rows",
        [
            ROWS[:1],
            [ROWS[0], [1, 2]],
            [ROWS[0], [1, None, 3]],
            [ROWS[0], [1, float("nan"), 3]],
            [ROWS[0], None],
            [ROWS[0], "%%%"],
            [ROWS[0], "AAAAAAA="],
            [ROWS[0], coded([1, 2])],
            [ROWS[0], coded([1, 2, float("inf")])],
        ],
    )
    def test_wrong_ones_are_found_out_completely(self, rows: Any):
        with pytest.raises(LoadFailed):
            parse_embeddings(response(rows), 2, 3)

    def test_vectors_out_of_order_are_found_out(self):
        with pytest.raises(LoadFailed, match="in order"):
            parse_embeddings(response(ROWS, first=1), 2, 3)

    @pytest.mark.parametrize(("route", "rows"), [(FLOATS, ROWS), (CODED, list(map(coded, ROWS)))])
    def test_right_ones_have_the_vectors_of_the_texts(self, route: Embeddings, rows: Any):
        answer = response(rows)
        route.check(answer, REQUEST)
        assert route.parse(answer, REQUEST) == pytest.approx([*ROWS[0], *ROWS[1]])
