"""A reranker is asked over real sockets as Weaviate asks it, and what is no answer is refused."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from build.compare.client import RERANK, Container, connect
from build.compare.scores.ask import CHUNK, ask
from build.compare.scores.queries import Query
from build.errors import ContainerRefused, NoScores
from tests.support.server.stub_container import always, scoring, serving

QUERY = Query("which one", ("a", "b", "c"))


def scores_of(*pairs: tuple[str, Any]) -> bytes:
    return json.dumps({"scores": [{"document": document, "score": score} for document, score in pairs]}).encode()


@pytest.mark.parametrize("count", [2, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_documents_are_sent_in_chunks_and_scores_come_in_their_order(count: int):
    query = Query("query", tuple(f"document {number}" for number in range(count)))
    with (
        serving(scoring(lambda text: float(text.split()[1]))) as (address, seen),
        closing(connect(Container(address))) as client,
    ):
        np.testing.assert_array_equal(ask(client, query), np.arange(count))
    bodies = [json.loads(body) for body in seen.bodies]
    assert set(seen.paths) == {"/rerank"}
    assert [len(body["documents"]) for body in bodies] == [CHUNK] * (count // CHUNK) + [count % CHUNK] * bool(
        count % CHUNK
    )
    assert tuple(document for body in bodies for document in body["documents"]) == query.documents
    assert {(body["query"], body["property"]) for body in bodies} == {("query", "")}
    assert all(set(body) == {"query", "documents", "property"} for body in bodies)


def test_only_the_new_container_is_asked_for_logits():
    with serving(scoring(len)) as (address, seen), closing(connect(Container(address))) as client:
        ask(client, QUERY, raw=True)
    assert json.loads(seen.bodies[0])["raw_scores"] is True


def test_scores_without_their_documents_are_taken_in_order():
    answer = b'{"scores": [{"score": 3}, {"score": -1e300}, {"score": 0.5}]}'
    with serving(always(200, answer)) as (address, _), closing(connect(Container(address))) as client:
        assert ask(client, QUERY).tolist() == [3, -1e300, 0.5]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no JSON",
        b"[]",
        b"[" * 100_000,
        b"{}",
        b'{"scores": null}',
        b'{"scores": []}',
        b'{"scores": [1, 2, 3]}',
        b'{"scores": {"a": 1, "b": 2, "c": 3}}',
        scores_of(("a", 1), ("b", 2)),
        scores_of(("a", 1), ("b", 2), ("c", 3), ("d", 4)),
        scores_of(("c", 3), ("b", 2), ("a", 1)),
        scores_of(("a", 1), ("b", None), ("c", 3)),
        scores_of(("a", 1), ("b", "2"), ("c", 3)),
        scores_of(("a", 1), ("b", True), ("c", 3)),
        scores_of(("a", 1), ("b", float("nan")), ("c", 3)),
        scores_of(("a", 1), ("b", float("inf")), ("c", 3)),
        scores_of(("a", 1), ("b", 10**400), ("c", 3)),
        b'{"query": "which one", "scores": null, "property": "a", "score": 1}',
    ],
)
def test_what_is_not_one_score_for_each_document_in_order_is_refused(answer: bytes):
    with (
        serving(always(200, answer)) as (address, _),
        closing(connect(Container(address))) as client,
        pytest.raises(NoScores) as refused,
    ):
        ask(client, QUERY)
    expected = f"the old container at {address} answered 'which one' without one finite score for each of 3 documents"
    assert str(refused.value).startswith(expected)
    assert len(str(refused.value)) < 300


def test_a_container_that_is_no_reranker_is_refused_with_a_hint():
    with (
        serving(always(404, b"{}")) as (address, _),
        closing(connect(Container(address), route=RERANK)) as client,
        pytest.raises(ContainerRefused, match="answered 404: there is no POST /rerank below this address"),
    ):
        ask(client, QUERY)


@pytest.mark.parametrize("path", ["", "/", "/rerank", "/rerank/"])
def test_an_address_may_have_the_route(path: str):
    with serving(scoring(len)) as (address, seen), closing(connect(Container(address + path))) as client:
        ask(client, QUERY)
    assert seen.paths == ["/rerank"]
