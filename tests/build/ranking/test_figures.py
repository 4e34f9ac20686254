"""The figures of scores, against scipy's and by hand, and the gate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from build.errors import FidelityTooLow
from build.fidelity.cpu_classes import PER_TOKEN, PER_TOKEN_7_BITS
from build.ranking.figures import figures_of, keeps_best, kendall_tau
from build.ranking.gate import check_scores
from build.ranking.golden import max_error_of
from build.ranking.heldout import heldout_queries
from manifest import Precision, ScoreFigures


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


def figures(rms: float = 0.01, tau: float = 0.99, top: float = 1.0) -> ScoreFigures:
    return ScoreFigures(240, 0.01, 0.05, rms, tau, top)


def test_figures_at_the_thresholds_pass():
    check_scores(figures(0.03, 0.95, 0.95), PER_TOKEN, Precision.INT8)
    check_scores(figures(0.05, 0.95, 0.95), PER_TOKEN_7_BITS, Precision.INT8)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (figures(rms=0.0301), "RMS error by spread 0.0301 (required: at most 0.03): build with --precision fp32"),
        (figures(tau=0.9499), "Kendall's tau 0.9499 (required: at least 0.95)"),
        (figures(top=0.9), "best documents kept 0.9000 (required: at least 0.95)"),
        (figures(tau=float("nan")), "Kendall's tau nan"),
        (figures(rms=float("nan")), "RMS error by spread nan"),
    ],
)
def test_each_figure_beyond_its_threshold_is_named(found: ScoreFigures, message: str):
    with pytest.raises(FidelityTooLow) as error:
        check_scores(found, PER_TOKEN, Precision.INT8)
    assert message in str(error.value)


def test_in_fp32_the_advice_is_another():
    with pytest.raises(FidelityTooLow, match="in fp32 this is an export error"):
        check_scores(figures(rms=1.0), PER_TOKEN, Precision.FP32)


def test_held_out_queries_are_many_and_distinct():
    queries = heldout_queries()
    assert len(queries) >= 30
    assert {len(query.documents) for query in queries} == {8}
    assert len({query.query for query in queries}) == len(queries)
    assert all(len(set(query.documents)) == 8 for query in queries)


def test_a_correct_server_may_lose_more_than_was_measured():
    assert max_error_of([0.02, 0.01], largest=8.0, loss_factor=4.0, tolerance=1e-3) == pytest.approx(0.048)
