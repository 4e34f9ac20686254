"""Figures of two rerankers' scores, beside sums by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.compare.scores.figures import FURTHEST, Furthest, Range, measure
from build.compare.scores.queries import Query
from build.compare.scores.verdict import judge
from build.compare.verdict import Verdict

Lists = list[list[float]]


def queries(scores: Lists) -> list[Query]:
    return [Query(f"query {number}", tuple(map(str, range(len(each))))) for number, each in enumerate(scores)]


def arrays(scores: Lists) -> list[np.ndarray]:
    return [np.array(each, dtype=np.float64) for each in scores]


OLD = [[1.0, 2.0, 3.0], [5.0, 4.0]]
NEW = [[1.0, 3.5, 3.0], [5.0, 4.0]]


def test_figures_are_those_by_hand():
    figures = measure(queries(OLD), arrays(OLD), arrays(NEW))
    assert (figures.queries, figures.scores.count) == (2, 5)
    assert (figures.old_scores, figures.new_scores) == (Range(1, 5), Range(1, 5))
    assert (figures.scores.error_mean, figures.scores.error_max) == pytest.approx((1.5 / 5, 1.5))
    assert figures.scores.error_rms == pytest.approx(np.sqrt(1.5**2 / 5) / np.std([1, 2, 3, 5, 4]), abs=1e-6)
    assert figures.scores.rank_agreement == pytest.approx((1 / 3 + 1) / 2, abs=1e-6)  # two of three pairs agree
    assert figures.scores.top_kept == 0.5
    assert figures.furthest == (Furthest("query 0", pytest.approx(1 / 3)), Furthest("query 1", 1.0))


def test_the_queries_that_differ_most_come_first():
    count = FURTHEST + 2
    old = [[0.0, 1.0, 2.0]] * count
    new = [[0.0, 1.0, 2.0]] * (count - 2) + [[1.0, 0.0, 2.0], [2.0, 1.0, 0.0]]
    figures = measure(queries(old), arrays(old), arrays(new))
    assert [each.query for each in figures.furthest[:3]] == [f"query {count - 1}", f"query {count - 2}", "query 0"]
    assert len(figures.furthest) == FURTHEST


SCORES = st.lists(st.lists(st.integers(-1000, 1000), min_size=2, max_size=6, unique=True), min_size=1, max_size=8)


@given(SCORES)
def test_what_keeps_the_order_is_a_drop_in_whatever_the_scale(old: list[list[int]]):
    new = [[np.tanh(score / 500) for score in each] for each in old]
    figures = measure(queries(old), arrays(old), arrays(new))
    assert (figures.scores.rank_agreement, figures.scores.top_kept) == (1, 1)
    assert judge(figures).verdict is Verdict.DROP_IN


@given(SCORES)
def test_an_order_upside_down_never_is(old: list[list[int]]):
    figures = measure(queries(old), arrays(old), [-each for each in arrays(old)])
    assert (figures.scores.rank_agreement, figures.scores.top_kept) == (-1, 0)
    assert judge(figures).verdict is Verdict.OTHER_RANKINGS


@given(SCORES, st.randoms(use_true_random=False))
def test_the_agreement_is_counted_pair_by_pair(old: list[list[int]], random: np.random.Generator):
    new = [random.sample(each, len(each)) for each in old]
    figures = measure(queries(old), arrays(old), arrays(new))
    expected = []
    for before, after in zip(old, new, strict=True):
        pairs = list(combinations(range(len(before)), 2))
        same = sum((before[a] < before[b]) == (after[a] < after[b]) for a, b in pairs)
        expected.append(2 * same / len(pairs) - 1)
    assert figures.scores.rank_agreement == pytest.approx(np.mean(expected), abs=1e-6)
