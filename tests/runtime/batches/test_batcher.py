"""Many texts of a request as jobs: all embedded in order, equal ones once, few at a time, none left after an error."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.batches.batcher import GROUP_CHARACTERS, GROUP_TEXTS, Batcher
from runtime.batches.request import BatchRequest, Embedded, Group
from runtime.batches.split import divide, split
from runtime.errors import InvalidRequest, Unavailable
from runtime.metrics.board import Board
from runtime.metrics.layout import MISSED
from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.cost_class import Priority


@dataclass(frozen=True)
class Like:
    is_query: bool = False


def vectors_of(texts: list[str]) -> np.ndarray:
    return np.asarray([[len(text), sum(map(ord, text))] for text in texts], dtype=np.float32)


class Jobs:
    """Embeds a group at the event loop's next turn, or once it is let go."""

    def __init__(self, bad: str | None = None, held: bool = False) -> None:
        self.groups: list[Group] = []
        self.in_flight = self.most = 0
        self.priorities: set[Priority] = set()
        self.go = asyncio.Event()
        if not held:
            self.go.set()
        self._bad = bad

    async def submit(self, group: Group, priority: Priority) -> Embedded:
        self.groups.append(group)
        self.priorities.add(priority)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(0)
            await self.go.wait()
            if self._bad in group.texts:
                raise group.named(list(group.texts).index(self._bad), InvalidRequest("it is bad"))
            return Embedded(vectors_of(list(group.texts)), [len(text) for text in group.texts])
        finally:
            self.in_flight -= 1


def request(texts: list[str], is_query: bool = False) -> BatchRequest:
    return BatchRequest(texts, "input", True, Like(is_query))


def embed(jobs: Jobs, texts: list[str], cores: int = 2, in_flight: int = 8) -> Embedded:
    return asyncio.run(Batcher(jobs.submit, cores, in_flight).embed(request(texts)))


async def turns(count: int = 20) -> None:
    """Let the event loop run what is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


@given(st.lists(st.sampled_from(["", "a", "bb", "🙂", "x" * 3000, "y" * 700]), min_size=1, max_size=200))
def test_each_text_has_its_own_vector_in_order_whatever_is_repeated(texts: list[str]):
    jobs = Jobs()
    found = embed(jobs, texts)
    np.testing.assert_array_equal(found.vectors, vectors_of(texts))
    assert list(found.tokens) == [len(text) for text in texts]
    assert sorted(text for group in jobs.groups for text in group.texts) == sorted(set(texts))


@given(st.integers(1, 300), st.randoms())
def test_vectors_are_handed_out_in_order_as_soon_as_those_before_them_are_there(count: int, random: Random):
    """Whatever the order in which groups end: each hands out what is next, two groups at most."""
    texts = [str(number) for number in range(count)]
    handed: list[np.ndarray] = []

    async def run() -> Embedded:
        waiting: list[tuple[Group, asyncio.Future[Embedded]]] = []

        def submit(group: Group, priority: Priority) -> asyncio.Future[Embedded]:
            waiting.append((group, asyncio.get_running_loop().create_future()))
            return waiting[-1][1]

        asked = replace(request(texts), take_rows=handed.append)
        task = asyncio.create_task(Batcher(submit, 2, 100).embed(asked))
        await turns(3)
        ended: set[str] = set()
        while waiting:
            group, future = waiting.pop(random.randrange(len(waiting)))
            before = sum(map(len, handed))
            future.set_result(Embedded(vectors_of(list(group.texts)), [1] * len(group.texts)))
            ended |= set(group.texts)
            await turns(3)
            after = sum(map(len, handed))
            assert ended.issuperset(texts[:after])
            assert after > before or texts[before] not in ended
            assert after - before <= 2 * GROUP_TEXTS
        return await task

    found = asyncio.run(run())
    whole = np.concatenate([*handed, found.vectors[sum(map(len, handed)) :]])
    np.testing.assert_array_equal(whole, vectors_of(texts))


def test_of_texts_that_are_equal_no_vector_is_handed_out_before_all_are_there():
    handed: list[np.ndarray] = []
    asked = replace(request(["a", "b", "a"]), take_rows=handed.append)
    found = asyncio.run(Batcher(Jobs().submit, 2, 8).embed(asked))
    assert handed == []
    np.testing.assert_array_equal(found.vectors, vectors_of(["a", "b", "a"]))


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=300), st.integers(1, 40), st.integers(1, 3000))
def test_groups_are_all_texts_in_a_row_within_both_limits(lengths: list[int], most: int, total: int):
    groups = split(lengths, most, total)
    assert [index for start, end in groups for index in range(start, end)] == list(range(len(lengths)))
    for start, end in groups:
        assert 1 <= end - start <= most
        assert end - start == 1 or sum(lengths[start:end]) <= total


def test_a_few_texts_are_divided_among_the_cores():
    jobs = Jobs()
    embed(jobs, [str(number) for number in range(10)], cores=4)
    assert [len(group.texts) for group in jobs.groups] == [3, 2, 3, 2]


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=300),
    st.integers(1, 40),
    st.integers(1, 3000),
    st.integers(1, 9),
)
def test_divided_groups_are_all_texts_in_a_row_within_both_limits(
    lengths: list[int], most: int, total: int, threads: int
):
    groups = divide(lengths, most, total, threads)
    assert [index for start, end in groups for index in range(start, end)] == list(range(len(lengths)))
    for start, end in groups:
        assert 1 <= end - start <= most
        assert end - start == 1 or sum(lengths[start:end]) <= total


@given(st.lists(st.integers(30, 120), min_size=40, max_size=600), st.integers(1, 6))
def test_each_thread_has_as_many_groups_and_their_lengths_differ_by_less_than_two_texts(
    lengths: list[int], threads: int
):
    groups = divide(lengths, 32, 2048, threads)
    sums = [sum(lengths[start:end]) for start, end in groups]
    if max(sums) + 2 * max(lengths) < 2048 and max(end - start for start, end in groups) < 32:
        assert len(groups) % threads == 0
        assert max(sums) - min(sums) < 2 * max(lengths)


def test_no_more_groups_are_in_flight_than_allowed():
    jobs = Jobs()
    embed(jobs, [f"text {number}" for number in range(20 * GROUP_TEXTS)], cores=2, in_flight=3)
    # With its last two groups, a request is short.
    assert jobs.most == 3 + 2
    assert all(sum(map(len, group.texts)) <= GROUP_CHARACTERS for group in jobs.groups)


def test_a_bad_text_is_named_by_its_first_index_and_ends_the_request():
    jobs = Jobs(bad="bad")
    texts = [*(f"text {number}" for number in range(80)), "bad", "bad", *(f"more {number}" for number in range(400))]
    with pytest.raises(InvalidRequest, match=r"^input\[80\]: it is bad$"):
        embed(jobs, texts, in_flight=1)
    assert len(jobs.groups) == 2
    assert jobs.in_flight == 0


def test_a_caller_that_leaves_cancels_all_that_is_left():
    async def run() -> Jobs:
        jobs = Jobs(held=True)
        batcher = Batcher(jobs.submit, 2, 4)
        caller = asyncio.create_task(batcher.embed(request([f"text {number}" for number in range(640)])))
        await turns()
        assert jobs.in_flight == 4
        caller.cancel()
        await turns()
        assert jobs.in_flight == 0
        jobs.go.set()
        # The parts are free again.
        found = await batcher.embed(request(["a"]))
        assert len(found.vectors) == 1
        return jobs

    jobs = asyncio.run(run())
    assert len(jobs.groups) == 5


def test_a_small_request_does_not_wait_for_all_of_a_large_one():
    async def run() -> tuple[int, int]:
        jobs = Jobs()
        batcher = Batcher(jobs.submit, 1, 1)
        large = asyncio.create_task(batcher.embed(request([f"text {number}" for number in range(3200)])))
        await turns(3)
        await batcher.embed(request(["small"]))
        begun = len(jobs.groups)
        await large
        return begun, len(jobs.groups)

    begun, all_groups = asyncio.run(run())
    assert begun < 10
    assert all_groups == math.ceil(3200 / GROUP_TEXTS) + 1


def test_short_requests_have_places_that_long_ones_do_not_take():
    """As many as threads: one of a group for each thread, or several of one."""

    async def run() -> None:
        jobs = Jobs(held=True)
        batcher = Batcher(jobs.submit, 2, 3)
        many = [f"text {number}" for number in range(20 * GROUP_TEXTS)]
        tasks = [asyncio.create_task(batcher.embed(request(texts))) for texts in (many, many[::-1])]
        await turns()
        assert jobs.in_flight == 3
        tasks += [asyncio.create_task(batcher.embed(request(texts))) for texts in (["a", "b"], ["c"])]
        await turns()
        assert [list(group.texts) for group in jobs.groups[3:]] == [["a"], ["b"]]
        jobs.go.set()
        await asyncio.gather(*tasks)
        assert jobs.most == 5

    asyncio.run(run())


@pytest.mark.parametrize("is_query", [True, False])
def test_queries_are_submitted_as_such(is_query: bool):
    jobs = Jobs()
    asyncio.run(Batcher(jobs.submit, 1, 1).embed(request(["a"], is_query)))
    assert jobs.priorities == {Priority.QUERY if is_query else Priority.PASSAGE}


def test_a_request_that_was_not_begun_by_its_deadline_is_refused_and_one_that_was_is_finished():
    async def run() -> None:
        jobs, figures, row = Jobs(held=True), WorkFigures(), Board(1).row(0)
        figures.open(row)
        batcher = Batcher(jobs.submit, 1, 1, figures=figures)
        now = asyncio.get_running_loop().time()
        # One has the only place, and the other the one that is reserved.
        begun = [asyncio.create_task(batcher.embed(request([text]), now + 0.01)) for text in ("a", "b")]
        await turns()
        with pytest.raises(Unavailable):
            await batcher.embed(request(["c"]), now + 0.01)
        jobs.go.set()
        assert [len(found.vectors) for found in await asyncio.gather(*begun)] == [1, 1]
        figures.publish()
        assert row[MISSED.start] == 1

    asyncio.run(run())
