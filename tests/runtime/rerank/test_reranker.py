"""A request's documents as jobs: all scored, few at a time, and none left after an error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.errors import InferenceFailed
from runtime.rerank.request import RerankRequest
from runtime.rerank.reranker import Reranker, documents_in_flight
from runtime.rerank.scorer import Pair, QueryText


class Jobs:
    """Scores a document by its length, at the event loop's next turn."""

    def __init__(self, failing: str | None = None) -> None:
        self.seen: list[QueryText | Pair] = []
        self.in_flight = self.most = 0
        self._failing = failing

    async def submit(self, item: QueryText | Pair) -> Any:
        self.seen.append(item)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(0)
            if isinstance(item, QueryText):
                return f"tokens of {item.text}"
            if item.document == self._failing:
                raise InferenceFailed("it failed")
            return float(len(item.document))
        finally:
            self.in_flight -= 1


def logits(jobs: Jobs, request: RerankRequest, in_flight: int = 4) -> list[float]:
    return asyncio.run(Reranker(jobs.submit, in_flight).logits(request))


def test_scores_are_in_the_order_of_the_documents():
    documents = tuple("x" * length for length in range(50, 0, -1))
    assert logits(Jobs(), RerankRequest("q", documents)) == [float(length) for length in range(50, 0, -1)]


def test_only_so_many_documents_are_in_flight():
    jobs = Jobs()
    logits(jobs, RerankRequest("q", tuple(map(str, range(300)))), in_flight=3)
    assert jobs.most == 3


def test_the_query_is_tokenized_once_and_equal_documents_are_scored_once():
    jobs = Jobs()
    assert logits(jobs, RerankRequest("q", ("a", "", "a", "bb", ""))) == [1.0, 0.0, 1.0, 2.0, 0.0]
    assert jobs.seen == [
        QueryText("q"),
        *(Pair("tokens of q", name, f"documents[{index}]", True) for name, index in (("a", 0), ("", 1), ("bb", 3))),
    ]


def test_without_documents_nothing_is_run():
    jobs = Jobs()
    assert logits(jobs, RerankRequest("q", ())) == []
    assert not jobs.seen


def test_an_error_ends_the_request_and_its_other_jobs():
    jobs = Jobs(failing="7")
    with pytest.raises(InferenceFailed, match="it failed"):
        logits(jobs, RerankRequest("q", tuple(map(str, range(300)))))
    assert len(jobs.seen) < 20
    assert jobs.in_flight == 0


@pytest.mark.parametrize(
    ("cores", "pair_bytes", "budget", "expected"),
    [(1, 1, 1000, 4), (2, 1, 1000, 8), (2, 200, 1000, 5), (2, 2000, 1000, 1), (2, 0, 1000, 8)],
)
def test_cores_and_memory_bound_what_is_in_flight(cores: int, pair_bytes: int, budget: int, expected: int):
    assert documents_in_flight(cores, pair_bytes, budget) == expected
