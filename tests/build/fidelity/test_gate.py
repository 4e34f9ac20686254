"""The gate: which figures let a bundle pass, and what is said of one that does not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.errors import FidelityTooLow
from build.fidelity.cosine import DECIMALS, summarize
from build.fidelity.cpu_classes import PER_TOKEN
from build.fidelity.gate import check
from build.fidelity.report import MeasuredClass, MeasuredText
from build.fidelity.thresholds import COSINE_OPTIONS, Thresholds
from manifest import CosineFigures, Precision, Task

BOUNDS = Thresholds(mean=0.99, p1=0.975, minimum=0.95)
COSINES = st.floats(-1, 1) | st.just(math.nan)
SHORT = st.floats(-1, 0.9).map(lambda value: round(value, DECIMALS))


def figures(mean: float = 0.995, p1: float = 0.98, minimum: float = 0.96) -> CosineFigures:
    return CosineFigures(count=2, mean=mean, p1=p1, minimum=minimum)


def measured(
    cosine: float, text: str = "a text", task: Task | None = None, prompt_name: str | None = None
) -> MeasuredText:
    return MeasuredText(1, text, task, prompt_name, tokens=5, cosine=cosine)


def a_class(
    cosine: CosineFigures, heldout: Sequence[MeasuredText], golden: Sequence[MeasuredText] = ()
) -> MeasuredClass:
    return MeasuredClass(PER_TOKEN, cosine, tuple(heldout), tuple(golden))


def refusal(
    cosine: CosineFigures, *texts: MeasuredText, golden: tuple = (), precision: Precision = Precision.INT8
) -> str:
    with pytest.raises(FidelityTooLow) as refused:
        check(a_class(cosine, texts, golden), BOUNDS, precision)
    assert str(refused.value).isprintable()
    return str(refused.value)


def test_a_bundle_at_its_thresholds_passes():
    check(a_class(figures(0.99, 0.975, 0.95), [measured(0.95)], [measured(0.95)]), BOUNDS, Precision.INT8)


@pytest.mark.parametrize("option", COSINE_OPTIONS, ids=lambda option: option.field)
@pytest.mark.parametrize("figure", [0.94, math.nan])
def test_each_figure_that_falls_short_is_named_and_no_other(option, figure: float):
    said = refusal(figures(**{option.field: figure}), measured(0.96))
    assert f": {option.figure} {figure:.6f} (required: {getattr(BOUNDS, option.field):g}): " in said
    assert not any(other.figure in said for other in COSINE_OPTIONS if other is not option)


def test_all_figures_that_fall_short_are_named_with_what_to_do():
    said = refusal(figures(0.8, 0.70009, 0.6), measured(0.6))
    assert "on CPUs of the class 'u8 x s8, per token', by cosines on 1 held-out and 0 golden texts" in said
    assert (
        "mean 0.800000 (required: 0.99), 1st percentile 0.700090 (required: 0.975), minimum 0.600000 (required" in said
    )
    assert "build with --precision fp32" in said
    assert "--min-cosine-mean 0.8 --min-cosine-p1 0.7 --min-cosine-min 0.6" in said


@given(SHORT, SHORT, SHORT)
def test_the_thresholds_that_are_suggested_let_the_bundle_pass(mean: float, p1: float, minimum: float):
    said = refusal(figures(mean, p1, minimum), measured(minimum)).split(";")[0].split()
    given = [float(said[said.index(option.flag) + 1]) for option in COSINE_OPTIONS]
    check(a_class(figures(mean, p1, minimum), [measured(minimum)]), Thresholds(*given), Precision.INT8)
    assert all(-1 <= value <= 1 for value in given)


def test_in_fp32_there_is_no_higher_precision_to_build_with():
    said = refusal(figures(0.9), measured(0.9), precision=Precision.FP32)
    assert "--precision" not in said
    assert "an export error" in said
    assert "--min-cosine-mean 0.9" in said


def test_what_is_not_a_number_passes_no_threshold_and_cannot_be_lowered_to():
    lowest = Thresholds(-1, -1, -1)
    nan = summarize(np.array([math.nan, 1.0]))
    with pytest.raises(FidelityTooLow, match="vectors that are not finite") as refused:
        check(a_class(nan, [measured(math.nan), measured(1.0)]), lowest, Precision.INT8)
    assert "--min" not in str(refused.value)
    with pytest.raises(FidelityTooLow, match="minimum nan"):
        check(a_class(figures(), [measured(1.0)], [measured(math.nan)]), lowest, Precision.INT8)


def test_golden_texts_are_held_to_the_minimum():
    """Their floors are set from what is measured, so that a wrong one would allow itself."""
    said = refusal(figures(), measured(0.96), golden=(measured(0.3, "golden", Task.QUERY), measured(0.97)))
    assert "1 held-out and 2 golden texts: minimum 0.300000 (required: 0.95)" in said
    assert "worst texts: 0.300000 'golden' (task query), 0.960000 'a text', 0.970000 'a text'" in said


def test_three_texts_are_shown_and_long_ones_cut():
    texts = [measured(0.1 * number, f"{number}" * 50) for number in range(1, 9)]
    said = refusal(figures(0.1), *texts, golden=(measured(0.05, "short", None, "sts"),))
    assert said.endswith(f"worst texts: 0.050000 'short' (prompt sts), 0.100000 '{'1' * 40}…', 0.200000 '{'2' * 40}…'")


def test_a_text_cannot_break_the_line_or_steer_a_terminal():
    assert "\\x1b[31m\\n" in refusal(figures(0.1), measured(0.1, "\x1b[31m\n\u202e"))


@given(COSINES, COSINES, COSINES, st.lists(COSINES, max_size=3))
def test_a_bundle_passes_exactly_where_every_figure_reaches_its_threshold(mean, p1, minimum, golden):
    texts = [measured(cosine) for cosine in golden]
    passes = mean >= BOUNDS.mean and p1 >= BOUNDS.p1 and all(one >= BOUNDS.minimum for one in [minimum, *golden])
    try:
        check(a_class(figures(mean, p1, minimum), [measured(minimum)], texts), BOUNDS, Precision.INT8)
    except FidelityTooLow:
        assert not passes
    else:
        assert passes
