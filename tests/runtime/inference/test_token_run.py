"""Which texts share a run, and that each gets its own answer whatever becomes of the others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InferenceFailed
from runtime.inference.token_batch import TokenBatch
from runtime.inference.token_run import RunGroup, TokenRun
from runtime.scheduling.memory_budget import MemoryBudget

LIMIT, TOTAL = 20, 1000
REFUSED = 99


class CountingEngine:
    """A token's embedding is (id, 2 id); a batch with the id REFUSED fails. Keeps the texts and cores of each run."""

    def __init__(self, joins_texts: bool = True) -> None:
        self.joins_texts = joins_texts
        self.runs: list[tuple[list[int], int]] = []

    def run(self, batch: TokenBatch, cores: int) -> np.ndarray:
        assert sum(batch.lengths) == len(batch.ids)
        self.runs.append((batch.lengths.tolist(), cores))
        if REFUSED in batch.ids:
            raise InferenceFailed(f"{REFUSED} is refused")
        return np.stack([batch.ids, 2 * batch.ids], axis=1).astype(np.float32)


def a_run(engine: CountingEngine, *ids: int, memory: int = 0) -> TokenRun:
    return TokenRun(engine, TokenBatch.of(list(ids)), memory)


def a_group(*runs: TokenRun) -> RunGroup:
    group = RunGroup(MemoryBudget(TOTAL), LIMIT)
    assert all(group.add(run) for run in runs)
    return group


SIZES = st.tuples(st.integers(0, 2), st.integers(1, 30), st.integers(0, 1500))


@given(st.lists(SIZES, min_size=1, max_size=12))
def test_a_group_is_one_run_or_runs_of_one_engine_within_the_limits(sizes: list[tuple[int, int, int]]):
    engines = [CountingEngine(), CountingEngine(), CountingEngine(joins_texts=False)]
    runs = [a_run(engines[which], *range(tokens), memory=memory) for which, tokens, memory in sizes]
    group, taken, was_open = RunGroup(MemoryBudget(TOTAL), LIMIT), [], []
    for run in runs:
        was_open.append(group.is_open)
        if group.add(run):
            taken.append(run)
            assert was_open[-1]
    assert taken[0] is runs[0]
    if len(taken) > 1:
        assert {run.engine for run in taken} == {taken[0].engine}
        assert taken[0].engine.joins_texts
        assert sum(run.tokens for run in taken) <= LIMIT
        assert sum(run.memory for run in taken) <= TOTAL
    answers = group.run(1)
    assert taken[0].engine.runs == [([run.tokens for run in taken], 1)]
    for run, answer in zip(taken, answers, strict=True):
        np.testing.assert_array_equal(answer, CountingEngine().run(run.batch, 1))


def test_what_fills_the_limits_exactly_goes_together():
    engine = CountingEngine()
    group = a_group(a_run(engine, *range(12), memory=600), a_run(engine, *range(7), memory=400))
    assert group.is_open
    assert not group.add(a_run(engine, 1, memory=1))
    assert group.add(a_run(engine, 1))
    assert not group.is_open


def test_an_engine_that_runs_texts_one_by_one_closes_the_group():
    assert not a_group(a_run(CountingEngine(joins_texts=False), 1)).is_open


def test_the_first_may_be_larger_than_every_limit():
    engine = CountingEngine()
    answers = a_group(a_run(engine, *range(LIMIT + 1), memory=TOTAL + 1)).run(2)
    assert engine.runs == [([LIMIT + 1], 2)]
    assert answers[0].shape == (LIMIT + 1, 2)


def test_a_text_that_fails_fails_alone():
    engine = CountingEngine()
    answers = a_group(a_run(engine, 1, 2), a_run(engine, REFUSED), a_run(engine, 3)).run(2)
    assert engine.runs == [([2, 1, 1], 2), ([2], 1), ([1], 1), ([1], 1)]
    np.testing.assert_array_equal(answers[0], [[1, 2], [2, 4]])
    assert isinstance(answers[1], InferenceFailed)
    np.testing.assert_array_equal(answers[2], [[3, 6]])


def test_a_lone_text_that_fails_is_not_run_again():
    engine = CountingEngine()
    (answer,) = a_group(a_run(engine, REFUSED)).run(1)
    assert isinstance(answer, InferenceFailed)
    assert len(engine.runs) == 1


@pytest.mark.parametrize("ids", [1, REFUSED])
def test_the_memory_of_all_is_leased_at_once_and_given_back(ids: int):
    budget = MemoryBudget(TOTAL)

    class Watching(CountingEngine):
        def run(self, batch: TokenBatch, cores: int) -> np.ndarray:
            leased.append(budget._leased)
            return super().run(batch, cores)

    leased: list[int] = []
    engine, group = Watching(), RunGroup(budget, LIMIT)
    assert group.add(a_run(engine, ids, memory=300))
    assert group.add(a_run(engine, 2, memory=500))
    group.run(1)
    assert leased == ([800] if ids == 1 else [800, 300, 500])
    assert budget._leased == 0
