"""A job for each text of a request: all results in order, few at a time, none left after an error."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.batches.each_text import EachText, PerToken
from runtime.batches.request import BatchRequest, Group
from runtime.errors import InvalidRequest, Unavailable
from runtime.metrics.board import Board
from runtime.metrics.layout import MISSED, PENDING
from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.cost_class import Priority


@dataclass(frozen=True)
class Like:
    is_query: bool = False


class Jobs:
    """Answers a text's length and its capitals at the event loop's next turn, or once it is let go."""

    def __init__(self, bad: str | None = None, held: bool = False) -> None:
        self.groups: list[Group] = []
        self.in_flight = self.most = 0
        self.go = asyncio.Event()
        if not held:
            self.go.set()
        self._bad = bad

    async def submit(self, group: Group, priority: Priority) -> PerToken:
        assert len(group.texts) == len(group.names) == 1
        self.groups.append(group)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(0)
            await self.go.wait()
            if group.texts[0] == self._bad:
                raise group.named(0, InvalidRequest("it is bad"))
            return PerToken(len(group.texts[0]), group.texts[0].upper())
        finally:
            self.in_flight -= 1


def request(texts: list[str], is_list: bool = True) -> BatchRequest:
    return BatchRequest(texts, "inputs", is_list, Like())


def run(texts: list[str], jobs: Jobs, max_tokens: int = 1000, is_list: bool = True) -> list[PerToken]:
    return asyncio.run(EachText(jobs.submit, 3, max_tokens).results(request(texts, is_list)))


@given(st.lists(st.text(max_size=20), max_size=20))
def test_every_text_has_its_result_in_order_and_few_are_in_flight(texts: list[str]):
    jobs = Jobs()
    assert run(texts, jobs) == [PerToken(len(text), text.upper()) for text in texts]
    assert jobs.most <= 3
    assert [group.texts[0] for group in jobs.groups] == texts


def test_a_bad_text_is_named_and_ends_the_request():
    jobs = Jobs(bad="bad")
    with pytest.raises(InvalidRequest, match=r"^inputs\[1\]: it is bad$"):
        run(["a", "bad", *("more" for _ in range(50))], jobs)
    assert len(jobs.groups) < 10
    with pytest.raises(InvalidRequest, match=r"^inputs: it is bad$"):
        run(["bad"], Jobs(bad="bad"), is_list=False)


def test_as_many_tokens_as_there_is_memory_for_are_answered_and_one_more_is_refused():
    assert len(run(["abc", "de"], Jobs(), max_tokens=5)) == 2
    with pytest.raises(InvalidRequest, match=r"^inputs must have at most 5 tokens in all"):
        run(["abc", "def"], Jobs(), max_tokens=5)


def test_texts_count_as_pending_until_they_are_answered_and_a_late_request_as_missed():
    async def main() -> tuple[float, float, float]:
        row = Board(1).row(0)
        figures = WorkFigures()
        figures.open(row)
        jobs = Jobs(held=True)
        each = EachText(jobs.submit, 1, 100, figures=figures)
        first = asyncio.create_task(each.results(request(["a", "b"])))
        while not jobs.groups:
            await asyncio.sleep(0)
        figures.publish()
        pending = row[PENDING.start]
        with pytest.raises(Unavailable):
            await each.results(request(["c"]), asyncio.get_running_loop().time())
        jobs.go.set()
        await first
        figures.publish()
        return pending, row[MISSED.start], row[PENDING.start]

    assert asyncio.run(main()) == (2, 1, 0)
