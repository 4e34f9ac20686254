"""A request's documents as jobs: all scored, few at a time, and none left after an error."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

import pytest

from runtime.errors import InferenceFailed, Unavailable
from runtime.metrics.board import Board
from runtime.metrics.layout import MISSED
from runtime.metrics.work_figures import WorkFigures
from runtime.rerank.request import RerankRequest
from runtime.rerank.reranker import Reranker
from runtime.rerank.scorer import Pair, QueryText
from runtime.scheduling.parts import parts_in_flight


class Jobs:
    """Scores a document by its length, at the event loop's next turn, or once it is let go."""

    def __init__(self, failing: str | None = None, held: bool = False) -> None:
        self.seen: list[QueryText | Pair] = []
        self.keys: list[Hashable] = []
        self.in_flight = self.most = 0
        self.go = asyncio.Event()
        if not held:
            self.go.set()
        self._failing = failing

    @property
    def documents(self) -> list[str]:
        """Those that were begun, in order."""
        return [item.document for item in self.seen if isinstance(item, Pair)]

    async def submit(self, item: QueryText | Pair, key: Hashable) -> Any:
        self.seen.append(item)
        self.keys.append(key)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(0)
            await self.go.wait()
            if isinstance(item, QueryText):
                return f"tokens of {item.text}"
            if item.document == self._failing:
                raise InferenceFailed("it failed")
            return float(len(item.document))
        finally:
            self.in_flight -= 1


def logits(jobs: Jobs, request: RerankRequest, in_flight: int = 4) -> list[float]:
    return asyncio.run(Reranker(jobs.submit, in_flight).logits(request))


async def turns(count: int = 20) -> None:
    """Let the event loop run what is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


def named(name: str, count: int) -> RerankRequest:
    return RerankRequest(name, tuple(f"{name}{index}" for index in range(count)))


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


def test_jobs_of_equal_pairs_have_one_key_and_refusals_have_their_own():
    jobs = Jobs()
    logits(jobs, RerankRequest("q", ("a", "bb")))
    assert jobs.keys == [None, ("q", "a", None), ("q", "bb", None)]
    strict = Jobs()
    logits(strict, RerankRequest("q", ("a",), "texts", truncate=False))
    assert strict.keys == [None, ("q", "a", "texts[0]")]


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


def test_a_small_request_passes_a_large_one_that_was_begun():
    jobs = Jobs()

    async def both() -> None:
        reranker = Reranker(jobs.submit, 2)
        large = asyncio.create_task(reranker.logits(named("large", 100)))
        await turns()
        await reranker.logits(named("small", 2))
        assert len(jobs.documents) < 60
        await large

    asyncio.run(both())
    assert len(jobs.documents) == 102


def test_of_equal_requests_one_is_finished_before_another_is_begun():
    jobs = Jobs()

    async def all_three() -> None:
        reranker = Reranker(jobs.submit, 1)
        await asyncio.gather(*(reranker.logits(named(name, 3)) for name in "abc"))

    asyncio.run(all_three())
    # One of five turns goes to the oldest, which need not be the one that was begun.
    assert jobs.documents[:3] == ["a0", "a1", "a2"]
    assert sorted(jobs.documents) == sorted(f"{name}{index}" for name in "abc" for index in range(3))


def test_a_request_that_was_not_begun_at_its_deadline_is_refused_and_one_that_was_is_answered():
    jobs, figures, row = Jobs(held=True), WorkFigures(), Board(1).row(0)
    figures.open(row)

    async def both() -> None:
        reranker = Reranker(jobs.submit, 1, seconds=60, figures=figures)
        now = asyncio.get_running_loop().time()
        begun = asyncio.create_task(reranker.logits(named("begun", 3), now))
        await turns()
        with pytest.raises(Unavailable, match=r"not begun within 60 seconds \(REQUEST_TIMEOUT\)"):
            await reranker.logits(named("late", 3), now)
        jobs.go.set()
        assert await begun == [6.0, 6.0, 6.0]

    asyncio.run(both())
    assert not any(name.startswith("late") for name in jobs.documents)
    figures.publish()
    assert row[MISSED.start] == 1


def test_the_jobs_of_a_caller_who_has_gone_make_room_for_others():
    jobs = Jobs(held=True)

    async def both() -> None:
        reranker = Reranker(jobs.submit, 2)
        gone = asyncio.create_task(reranker.logits(named("gone", 50)))
        waiting = asyncio.create_task(reranker.logits(named("waiting", 50)))
        await turns()
        assert jobs.in_flight == 2
        for task in (gone, waiting):
            task.cancel()
        await asyncio.gather(gone, waiting, return_exceptions=True)
        jobs.go.set()
        assert len(await reranker.logits(named("stayed", 5))) == 5
        assert jobs.in_flight == 0

    asyncio.run(both())
    assert len(jobs.documents) <= 5 + 2


def test_a_request_that_fails_leaves_the_others_alone():
    jobs = Jobs(failing="bad1")

    async def both() -> list[Any]:
        reranker = Reranker(jobs.submit, 2)
        requests = (named(name, 10) for name in ("bad", "good"))
        return await asyncio.gather(*map(reranker.logits, requests), return_exceptions=True)

    bad, good = asyncio.run(both())
    assert isinstance(bad, InferenceFailed)
    assert good == [5.0] * 10


@pytest.mark.parametrize(
    ("cores", "pair_bytes", "budget", "expected"),
    [(1, 1, 1000, 4), (2, 1, 1000, 8), (2, 200, 1000, 5), (2, 2000, 1000, 1), (2, 0, 1000, 8)],
)
def test_cores_and_memory_bound_what_is_in_flight(cores: int, pair_bytes: int, budget: int, expected: int):
    assert parts_in_flight(cores, pair_bytes, budget) == expected
