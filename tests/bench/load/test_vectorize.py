"""Requests for vectors of texts and images, and their answers, right and wrong."""

from __future__ import annotations

import base64
import json
from itertools import islice
from typing import Any

import pytest

from bench.errors import LoadFailed
from bench.load.modules import Module
from bench.load.pictures import Size
from bench.load.texts import SHORT, endless_texts
from bench.load.vectorize import VectorizeImages, VectorizeTexts, parse_vectorize, vectorize_request

TEXTS = VectorizeTexts(3)
IMAGES = VectorizeImages(3, Size(16, 12, 2))


def response(answer: Any, status: int = 200, separators: tuple[str, str] = (",", ":")) -> bytes:
    body = answer if isinstance(answer, str) else json.dumps(answer, separators=separators)
    return f"HTTP/1.1 {status} X\r\n\r\n{body}".encode()


class TestRequests:
    def test_are_what_weaviates_client_sends(self):
        head, _, body = vectorize_request("texts", "river", 8080).wire.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /vectorize HTTP/1.1\r\n")
        assert b"\r\nContent-Type: application/json" in head
        assert f"Content-Length: {len(body)}".encode() in head
        assert json.loads(body) == {"texts": ["river"]}

    def test_have_one_text_or_one_jpeg_each(self):
        sent = [json.loads(r.wire.partition(b"\r\n\r\n")[2]) for r in islice(TEXTS.requests(SHORT, 1, "a"), 3)]
        assert sent == [{"texts": [text]} for text in islice(endless_texts(SHORT, "a"), 3)]
        for request in islice(IMAGES.requests(SHORT, 1, "a"), 3):
            (image,) = json.loads(request.wire.partition(b"\r\n\r\n")[2])["images"]
            assert base64.b64decode(image).startswith(b"\xff\xd8\xff\xfe")

    @pytest.mark.parametrize("module", [module for module in Module if "clip" in module])
    def test_every_module_of_the_kind_has_a_route(self, module: Module):
        assert isinstance(module.route(5), VectorizeTexts | VectorizeImages)


WRONG = [
    ({"error": "busy"}, 503, "status is 503.*busy"),
    ("{", 200, "no vector of 3"),
    ({"textVectors": [], "imageVectors": []}, 200, "no vector of 3"),
    ({"textVectors": [[1, 2]]}, 200, "no vector of 3"),
    ({"textVectors": [[1, 2, 3], [1, 2, 3]]}, 200, "no vector of 3"),
    ({"imageVectors": [[1, 2, 3]]}, 200, "no vector of 3"),
    ({"textVectors": [], "imageVectors": [[1, 2, 3]]}, 200, "no vector of 3"),
]


class TestAnswers:
    @pytest.mark.parametrize(("answer", "status", "message"), WRONG)
    def test_wrong_ones_are_found_out(self, answer: Any, status: int, message: str):
        with pytest.raises(LoadFailed, match=message):
            TEXTS.check(response(answer, status), vectorize_request("texts", "a", 1))

    @pytest.mark.parametrize(
        "answer",
        [
            {"textVectors": [[1, 2, 3], [1, 2, 3]]},
            {"textVectors": [[1, None, 3]]},
            {"textVectors": [[1, float("nan"), 3]]},
            {"textVectors": [[]]},
            {"textVectors": None},
            {"vectors": [[1, 2, 3]]},
            [1],
            "{",
        ],
    )
    def test_wrong_ones_are_found_out_completely(self, answer: Any):
        with pytest.raises(LoadFailed):
            parse_vectorize(response(answer), "texts")

    @pytest.mark.parametrize(("route", "field"), [(TEXTS, "textVectors"), (IMAGES, "imageVectors")])
    @pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
    def test_right_ones_have_the_vector_of_the_item(self, route: Any, field: str, separators: tuple[str, str]):
        other = {"textVectors": "imageVectors", "imageVectors": "textVectors"}[field]
        for fields in ({field: [[1, -2.5, 3e-5]], other: []}, {other: [], field: [[1, -2.5, 3e-5]]}):
            answer = response(fields, separators=separators)
            route.check(answer, vectorize_request("texts", "a", 1))
            assert route.parse(answer, vectorize_request("texts", "a", 1)) == [1, -2.5, 3e-5]
