"""Why scores differ: what is made of logits, and what is not explained by that."""

from __future__ import annotations

import numpy as np
import pytest

from build.compare.scores.causes import UNRELATED, ScoreCause, find_score_causes
from build.compare.verdict import Verdict

LOGITS = list(np.random.default_rng(0).normal(0, 3, (40, 8)))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


SIGMOIDS = [sigmoid(each) for each in LOGITS]


@pytest.mark.parametrize(
    ("old", "new", "answers"), [(SIGMOIDS, LOGITS, "sigmoids of logits"), (LOGITS, SIGMOIDS, "logits")]
)
def test_another_activation_function_is_found(old: list[np.ndarray], new: list[np.ndarray], answers: str):
    (finding,) = find_score_causes(old, new, LOGITS, Verdict.DROP_IN)
    assert finding.cause is ScoreCause.ACTIVATION
    assert f"the old container answers with {answers}, and" in finding.text
    assert finding.text.endswith("the RMS error is 0.0% of the spread)")


def test_an_activation_function_that_explains_less_than_half_is_no_cause():
    old = [2 * each for each in LOGITS]
    assert find_score_causes(old, LOGITS, LOGITS, Verdict.DROP_IN) == ()


def test_rankings_that_differ_have_a_cause_besides_the_activation_function():
    noise = np.random.default_rng(1)
    old = [sigmoid(each + noise.normal(0, 0.5, each.shape)) for each in LOGITS]
    found = find_score_causes(old, LOGITS, LOGITS, Verdict.OTHER_RANKINGS)
    assert [finding.cause for finding in found] == [ScoreCause.ACTIVATION, ScoreCause.UNKNOWN]


def test_rankings_with_little_in_common_are_another_models():
    assert UNRELATED > 0
    old = list(np.random.default_rng(2).normal(0, 3, (40, 8)))
    (finding,) = find_score_causes(old, LOGITS, LOGITS, Verdict.OTHER_RANKINGS)
    assert finding.cause is ScoreCause.ANOTHER_MODEL


def test_large_logits_do_not_overflow():
    logits = [np.array([-1e4, 0.0, 1e4])]
    (finding,) = find_score_causes([np.array([0.0, 0.5, 1.0])], logits, logits, Verdict.DROP_IN)
    assert finding.cause is ScoreCause.ACTIVATION
