"""Requests for scores, and their answers, right and wrong."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest

from bench.errors import LoadFailed
from bench.load.modules import Module
from bench.load.scores import QUERY, Scores, parse_scores, score_request
from bench.load.texts import SHORT

DOCUMENTS = ["one", "schöne Worte", "one"]


def response(answer: Any, status: int = 200) -> bytes:
    body = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return f"HTTP/1.1 {status} X\r\n\r\n{body}".encode()


def listed(*scores: Any, documents: list[str] = DOCUMENTS) -> list[dict[str, Any]]:
    return [{"document": document, "score": score} for document, score in zip(documents, scores, strict=False)]


class TestRequests:
    def test_are_what_weaviates_client_sends(self):
        head, _, body = score_request("a query", DOCUMENTS, 8080).wire.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /rerank HTTP/1.1\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"content-type" not in head.lower()
        assert json.loads(body) == {"query": "a query", "property": "", "documents": DOCUMENTS}

    def test_have_as_many_documents_as_there_are_scores_and_none_twice(self):
        seen: list[str] = []
        for request in islice(Module.RERANKER_TRANSFORMERS.route(5).requests(SHORT, 8080, "a"), 20):
            fields = json.loads(request.wire.partition(b"\r\n\r\n")[2])
            assert QUERY.low <= len(fields["query"].split()) <= QUERY.high
            assert len(fields["documents"]) == 5
            assert all(SHORT.low <= len(text.split()) <= SHORT.high for text in fields["documents"])
            seen += fields["documents"]
        assert len(set(seen)) == 100

    def test_are_the_same_for_the_same_seed_and_others_for_another(self):
        first, same, other = (next(Scores(2).requests(SHORT, 8080, seed)) for seed in "aab")
        assert first == same != other


class TestAnswers:
    @pytest.mark.parametrize(
        ("answer", "status", "message"),
        [
            ({"error": "busy"}, 503, "status is 503.*busy"),
            ("{", 200, "contract"),
            ([1, 2, 3], 200, "contract"),
            ({"query": "a"}, 200, "contract"),
            ({"query": "a", "scores": None}, 200, "contract"),
            ({"query": "a", "scores": listed(1, 2, None)}, 200, "contract"),
            ({"query": "a", "scores": listed(1, 2)}, 200, "documents in their order"),
            ({"query": "a", "scores": [*listed(1, 2, 3), *listed(1)]}, 200, "documents in their order"),
            (
                {"query": "a", "scores": listed(1, 2, 3, documents=["one", "one", "schöne Worte"])},
                200,
                "in their order",
            ),
            ({"query": "b", "scores": listed(1, 2, 3)}, 200, "repeat the query"),
            ({"query": "a", "scores": listed(1, 2, float("nan"))}, 200, "not finite"),
            ({"query": "a", "scores": listed(1, 2, float("inf"))}, 200, "not finite"),
        ],
    )
    def test_wrong_ones_are_found_out(self, answer: Any, status: int, message: str):
        request = score_request("a", DOCUMENTS, 8080)
        with pytest.raises(LoadFailed, match=message):
            Scores(3).check(response(answer, status), request)

    def test_right_ones_have_a_score_for_each_document_in_order(self):
        answer = response({"query": "a", "scores": listed(1, -2.5, 1), "property": None, "score": None})
        Scores(3).check(answer, request := score_request("a", DOCUMENTS, 8080))
        assert Scores(3).parse(answer, request) == [1, -2.5, 1]

    def test_no_document_has_no_score(self):
        assert parse_scores(response({"query": "", "scores": []}), "", []) == []
