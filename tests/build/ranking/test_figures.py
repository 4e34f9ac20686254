"""The figures of scores, against scipy's and by hand, and the gate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from build.ranking.figures import figures_of, keeps_best, kendall_tau
from build.ranking.golden import max_error_of
from build.ranking.heldout import heldout_queries
from manifest import ScoreFigures


def test_kendalls_tau_is_scipys_without_ties():
    rng = np.random.default_rng(3)
    for _ in range(20):
        ours, theirs = rng.normal(size=(2, 9))
        assert kendall_tau(ours, theirs) == pytest.approx(stats.kendalltau(ours, theirs).statistic)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], 1),
        ([3, 2, 1], [1, 2, 3], -1),
        ([1, 3, 2], [1, 2, 3], 1 / 3),
        ([1, 1, 1], [1, 2, 3], 0),
        ([2, 1, 3], [1, 1, 3], 1),
        ([5], [1], 1),
    ],
)
def test_ties_of_the_original_agree_with_any_order(ours: list, theirs: list, expected: float):
    assert kendall_tau(np.array(ours, float), np.array(theirs, float)) == pytest.approx(expected)


def test_the_best_document_may_be_any_of_the_originals_best():
    assert keeps_best(np.array([2.0, 1.0]), np.array([3.0, 3.0]))
    assert not keeps_best(np.array([2.0, 1.0]), np.array([1.0, 3.0]))
    assert not keeps_best(np.array([np.nan, 1.0]), np.array([3.0, 1.0]))


def test_errors_are_relative_to_the_spread():
    theirs = [np.array([0.0, 2.0]), np.array([0.0, 2.0])]
    found = figures_of([logits + 0.1 for logits in theirs], theirs)
    assert found == ScoreFigures(4, 0.1, 0.1, 0.1, 1.0, 1.0)


def test_held_out_queries_are_many_and_distinct():
    queries = heldout_queries()
    assert len(queries) >= 60
    assert {len(query.documents) for query in queries} == {8}
    assert len({query.query for query in queries}) == len(queries) / 2
    assert len({frozenset(query.documents) for query in queries}) == len(queries)
    assert all(len(set(query.documents)) == 8 for query in queries)


def test_held_out_documents_are_of_many_lengths_and_scripts():
    documents = [document for query in heldout_queries() for document in query.documents]
    assert sum(len(document) > 1200 for document in documents) >= 4
    assert sum(not document.isascii() for document in documents) >= 20


def test_a_correct_server_may_lose_more_than_was_measured():
    assert max_error_of(0.02, largest=8.0, loss_factor=4.0, tolerance=1e-3) == pytest.approx(0.048)
