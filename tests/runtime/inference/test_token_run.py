"""Which texts share a run, and that each gets its own result whatever becomes of the others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InferenceFailed
from runtime.inference.token_batch import TokenBatch
from runtime.inference.token_run import ConsecutiveRuns, RunBatch, TokenRun
from runtime.scheduling.memory_budget import MemoryBudget
from tests.support.scheduling import ends_turn

LIMIT, TOTAL = 20, 1000
REFUSED = 99


class CountingEngine:
    """A token's embedding is (id, 2 id); a batch with the id REFUSED fails. Keeps the texts and cores of each run."""

    def __init__(self, supports_batching: bool = True) -> None:
        self.supports_batching, self.pools = supports_batching, True
        self.runs: list[tuple[list[int], int]] = []

    def run(self, batch: TokenBatch, cores: int) -> np.ndarray:
        assert sum(batch.lengths) == len(batch.ids)
        self.runs.append((batch.lengths.tolist(), cores))
        if REFUSED in batch.ids:
            raise InferenceFailed(f"{REFUSED} is refused")
        embeddings = np.stack([batch.ids, 2 * batch.ids], axis=1).astype(np.float32)
        if batch.pooled is None:
            return batch.select(embeddings)
        parts = zip(np.split(embeddings, np.cumsum(batch.lengths)[:-1]), batch.pooled.tolist(), strict=True)
        return np.stack([tokens[begin:end].mean(axis=0) for tokens, (begin, end, _) in parts])


class WatchingEngine(CountingEngine):
    """Keeps how much of the budget is leased in each run."""

    def __init__(self, budget: MemoryBudget) -> None:
        super().__init__()
        self.budget, self.leased = budget, list[int]()

    def run(self, batch: TokenBatch, cores: int) -> np.ndarray:
        self.leased.append(self.budget.leased)
        return super().run(batch, cores)


def a_run(engine: CountingEngine, *ids: int, memory: int = 0) -> TokenRun:
    return TokenRun(engine, TokenBatch.of(list(ids)), memory)


def test_runs_that_want_some_tokens_get_them_beside_runs_that_want_all():
    engine = CountingEngine()
    first, last = (
        TokenRun(engine, TokenBatch.of(ids).wanting(token), 0) for ids, token in (([1, 2, 3], 0), ([4, 5], 1))
    )
    results = a_batch(first, a_run(engine, 6, 7), last).run(1, ends_turn)
    assert [result[:, 0].tolist() for result in results] == [[1], [6, 7], [5]]
    assert len(engine.runs) == 1


def test_texts_of_which_vectors_are_wanted_share_a_run_and_no_memory():
    engine = CountingEngine()
    runs = [TokenRun(engine, TokenBatch.of(ids).pooling([(0, len(ids))], False), 0) for ids in ([1, 3], [5], [7, 9])]
    results = a_batch(*runs).run(1, ends_turn)
    assert [result[:, 0].tolist() for result in results] == [[2], [5], [8]]
    assert len(engine.runs) == 1
    assert all(result.base is None for result in results)


def test_vectors_and_tokens_come_from_runs_of_their_own():
    engine = CountingEngine()
    of_tokens, of_a_vector = a_run(engine, 1, 2), TokenRun(engine, TokenBatch.of([3]).pooling([(0, 1)], False), 0)
    for first, second in ((of_tokens, of_a_vector), (of_a_vector, of_tokens)):
        batch = a_batch(first)
        assert batch.has_capacity
        assert not batch.add(second)


class TestConsecutiveRuns:
    def runs(self, engine: CountingEngine, *ids: int, memory: int = 0) -> ConsecutiveRuns:
        """Runs of one text each, of two tokens."""
        return ConsecutiveRuns(engine, [TokenBatch.of([first, first + 1]) for first in ids], memory)

    @pytest.mark.parametrize("most", [1, 2, 3, 9])
    def test_they_are_made_as_long_as_the_job_may_continue(self, most: int):
        engine, asked = CountingEngine(), list[int]()

        def may_continue(steps: int) -> bool:
            asked.append(steps)
            return steps < most

        batch = a_batch(self.runs(engine, 1, 5, 9))
        (results,) = batch.run(2, may_continue)
        made = min(most, 3)
        assert [result[:, 0].tolist() for result in results] == [[1, 2], [5, 6], [9, 10]][:made]
        assert engine.runs == [([2], 2)] * made
        assert batch.steps == made
        assert asked == [1, 2][:most]

    def test_they_are_alone_in_their_batch(self):
        engine = CountingEngine()
        batch = a_batch(self.runs(engine, 1, 5))
        assert not batch.has_capacity
        assert not batch.add(a_run(engine, 1))
        assert not batch.add(self.runs(engine, 9))
        assert not a_batch(a_run(engine, 1)).add(self.runs(engine, 5, 9))

    @pytest.mark.parametrize("second", [5, REFUSED])
    def test_their_memory_is_leased_once_and_returned(self, second: int):
        budget = MemoryBudget(TOTAL)
        engine = WatchingEngine(budget)
        batch = RunBatch(budget, LIMIT)
        assert batch.add(self.runs(engine, 1, second, memory=300))
        batch.run(1, lambda steps: True)
        assert engine.leased == [300, 300]
        assert budget.leased == 0

    def test_one_that_fails_is_the_last_and_its_error_the_result(self):
        engine = CountingEngine()
        batch = a_batch(self.runs(engine, 1, REFUSED, 5))
        (result,) = batch.run(1, lambda steps: True)
        assert isinstance(result, InferenceFailed)
        assert len(engine.runs) == batch.steps == 2

    def test_they_have_as_many_tokens_as_the_longest(self):
        batches = [TokenBatch.of([1]), TokenBatch.of([2, 3, 4]), TokenBatch.of([5, 6])]
        assert ConsecutiveRuns(CountingEngine(), batches, 0).tokens == 3


def a_batch(*runs: TokenRun | ConsecutiveRuns) -> RunBatch:
    batch = RunBatch(MemoryBudget(TOTAL), LIMIT)
    assert all(batch.add(run) for run in runs)
    return batch


SIZES = st.tuples(st.integers(0, 2), st.integers(1, 30), st.integers(0, 1500))


@given(st.lists(SIZES, min_size=1, max_size=12))
def test_a_batch_is_one_run_or_runs_of_one_engine_within_the_limits(sizes: list[tuple[int, int, int]]):
    engines = [CountingEngine(), CountingEngine(), CountingEngine(supports_batching=False)]
    runs = [a_run(engines[which], *range(tokens), memory=memory) for which, tokens, memory in sizes]
    batch, taken, had_capacity = RunBatch(MemoryBudget(TOTAL), LIMIT), [], []
    for run in runs:
        had_capacity.append(batch.has_capacity)
        if batch.add(run):
            taken.append(run)
            assert had_capacity[-1]
    assert taken[0] is runs[0]
    if len(taken) > 1:
        assert {run.engine for run in taken} == {taken[0].engine}
        assert taken[0].engine.supports_batching
        assert sum(run.tokens for run in taken) <= LIMIT
        assert sum(run.memory for run in taken) <= TOTAL
    results = batch.run(1, ends_turn)
    assert taken[0].engine.runs == [([run.tokens for run in taken], 1)]
    for run, result in zip(taken, results, strict=True):
        np.testing.assert_array_equal(result, CountingEngine().run(run.batch, 1))


def test_runs_that_fill_the_limits_exactly_go_together():
    engine = CountingEngine()
    batch = a_batch(a_run(engine, *range(12), memory=600), a_run(engine, *range(7), memory=400))
    assert batch.has_capacity
    assert not batch.add(a_run(engine, 1, memory=1))
    assert batch.add(a_run(engine, 1))
    assert not batch.has_capacity


def test_an_engine_that_runs_texts_one_by_one_leaves_no_capacity():
    assert not a_batch(a_run(CountingEngine(supports_batching=False), 1)).has_capacity


def test_the_first_run_may_exceed_every_limit():
    engine = CountingEngine()
    results = a_batch(a_run(engine, *range(LIMIT + 1), memory=TOTAL + 1)).run(2, ends_turn)
    assert engine.runs == [([LIMIT + 1], 2)]
    assert results[0].shape == (LIMIT + 1, 2)


def test_a_text_that_fails_does_not_fail_the_others():
    engine = CountingEngine()
    results = a_batch(a_run(engine, 1, 2), a_run(engine, REFUSED), a_run(engine, 3)).run(2, ends_turn)
    assert engine.runs == [([2, 1, 1], 2), ([2], 1), ([1], 1), ([1], 1)]
    np.testing.assert_array_equal(results[0], [[1, 2], [2, 4]])
    assert isinstance(results[1], InferenceFailed)
    np.testing.assert_array_equal(results[2], [[3, 6]])


def test_a_lone_text_that_fails_is_not_run_again():
    engine = CountingEngine()
    (result,) = a_batch(a_run(engine, REFUSED)).run(1, ends_turn)
    assert isinstance(result, InferenceFailed)
    assert len(engine.runs) == 1


@pytest.mark.parametrize("ids", [1, REFUSED])
def test_the_memory_of_all_runs_is_leased_at_once_and_returned(ids: int):
    budget = MemoryBudget(TOTAL)
    engine, batch = WatchingEngine(budget), RunBatch(budget, LIMIT)
    assert batch.add(a_run(engine, ids, memory=300))
    assert batch.add(a_run(engine, 2, memory=500))
    batch.run(1, ends_turn)
    assert engine.leased == ([800] if ids == 1 else [800, 300, 500])
    assert budget.leased == 0
