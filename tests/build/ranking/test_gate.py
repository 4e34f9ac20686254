"""The gate of scores: what passes, what is named, and what is suggested."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.errors import FidelityTooLow
from build.fidelity.cpu_classes import FLOATS, PER_TOKEN, CpuClass
from build.fidelity.report import ClassScores
from build.fidelity.thresholds import SCORE_OPTIONS, ScoreThresholds, ThresholdOverrides
from build.precisions import PRECISIONS
from build.ranking.gate import check_scores, default_thresholds
from manifest import Precision, ScoreFigures


def measured(
    rms: float = 0.01,
    tau: float = 0.99,
    top: float = 1.0,
    cpu_class: CpuClass = PER_TOKEN,
    precision: Precision = Precision.INT8,
    thresholds: ScoreThresholds | None = None,
) -> ClassScores:
    required = thresholds or default_thresholds(PRECISIONS[precision])
    return ClassScores(cpu_class, ScoreFigures(256, 0.01, 0.05, rms, tau, top), required)


def said(found: ClassScores, precision: Precision = Precision.INT8) -> str:
    with pytest.raises(FidelityTooLow) as error:
        check_scores(found, precision)
    return str(error.value)


def test_figures_at_the_thresholds_pass():
    check_scores(measured(0.03, 0.95, 0.95), Precision.INT8)
    check_scores(measured(0.001, 0.99, 0.99, FLOATS, Precision.FP32), Precision.FP32)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (measured(rms=0.0301), "RMS error by spread 0.0301 (required: 0.03): build with --precision fp32"),
        (measured(tau=0.9499), "Kendall's tau 0.9499 (required: 0.95)"),
        (measured(top=0.9), "share of best documents kept 0.9000 (required: 0.95)"),
        (measured(tau=math.nan), "Kendall's tau nan (required: 0.95): the model returns scores that are not finite"),
        (measured(rms=math.inf), "RMS error by spread inf (required: 0.03): the model returns scores that are not"),
    ],
)
def test_each_figure_beyond_its_threshold_is_named(found: ClassScores, message: str):
    assert message in said(found)


def test_fp32_is_held_to_more_and_gets_other_advice():
    found = measured(rms=0.002, cpu_class=FLOATS, precision=Precision.FP32)
    assert "in fp32 this is an export error, not rounding" in said(found, Precision.FP32)


def test_the_user_sets_what_is_required():
    overrides = ThresholdOverrides({"error_rms": 0.2})
    required = overrides.over(default_thresholds(PRECISIONS[Precision.INT8]))
    check_scores(measured(rms=0.2, thresholds=required), Precision.INT8)


@given(st.floats(-1, 0.94), st.floats(0, 0.94), st.floats(0.04, 1e6))
def test_the_thresholds_that_are_suggested_let_the_bundle_pass(tau: float, top: float, rms: float):
    words = said(measured(rms, tau, top)).split()
    given_values = {option.field: float(words[words.index(option.flag) + 1]) for option in SCORE_OPTIONS}
    check_scores(measured(rms, tau, top, thresholds=ScoreThresholds(**given_values)), Precision.INT8)
