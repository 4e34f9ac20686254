"""Thresholds of cosines and scores: as options, over the defaults, and as arguments of an image's build."""

from __future__ import annotations

import argparse
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.errors import InvalidOption
from build.fidelity.thresholds import (
    COSINE_OPTIONS,
    NO_OVERRIDES,
    OPTIONS,
    SCORE_OPTIONS,
    Option,
    ScoreThresholds,
    ThresholdOverrides,
    Thresholds,
    add_options,
    read_options,
)
from build.precisions import PRECISIONS, PrecisionSpec
from manifest import Precision

PLAIN = Thresholds(mean=0.9, p1=0.8, minimum=0.7)
PLAIN_SCORES = ScoreThresholds(rank_agreement=0.9, top_kept=0.8, error_rms=0.1)


def parsed(*arguments: str) -> ThresholdOverrides:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return read_options(parser.parse_args(arguments))


def test_without_options_the_defaults_apply():
    assert parsed() == NO_OVERRIDES
    assert NO_OVERRIDES.over(PLAIN) == PLAIN
    assert NO_OVERRIDES.build_arguments() == {}


@pytest.mark.parametrize("option", COSINE_OPTIONS, ids=lambda option: option.flag)
def test_an_option_sets_one_threshold(option: Option):
    overrides = parsed(option.flag, "-0.5")
    assert overrides.over(PLAIN) == dataclasses.replace(PLAIN, **{option.field: -0.5})
    assert overrides.over(PLAIN_SCORES) == PLAIN_SCORES
    assert overrides.build_arguments() == {option.variable: "-0.5"}


@pytest.mark.parametrize("option", SCORE_OPTIONS, ids=lambda option: option.flag)
def test_an_option_sets_one_threshold_of_scores(option: Option):
    overrides = parsed(option.flag, "0.5")
    assert overrides.over(PLAIN_SCORES) == dataclasses.replace(PLAIN_SCORES, **{option.field: 0.5})
    assert overrides.over(PLAIN) == PLAIN
    assert overrides.build_arguments() == {option.variable: "0.5"}


def test_a_threshold_that_a_kind_does_not_have_is_refused_by_name():
    overrides = parsed("--max-score-error", "0.1")
    overrides.require(SCORE_OPTIONS, "a reranker")
    with pytest.raises(InvalidOption) as error:
        overrides.require(COSINE_OPTIONS, "org/model, a model of kind text")
    assert str(error.value) == (
        "--max-score-error does not apply to org/model, a model of kind text, which has --min-cosine-mean, "
        "--min-cosine-p1, --min-cosine-min"
    )


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
def test_a_figure_at_its_threshold_passes_and_one_beyond_does_not(option: Option):
    beyond = 0.6 if option.is_highest else 0.4
    assert option.passes(0.5, 0.5)
    assert not option.passes(beyond, 0.5)
    assert not option.passes(float("nan"), 0.5)


def test_zero_is_a_threshold_and_not_the_default():
    assert parsed("--min-cosine-mean", "0").over(PLAIN).mean == 0


@pytest.mark.parametrize("text", ["1.01", "-1.01", "nan", "inf", "98%", "0,98", ""])
def test_a_value_that_is_no_cosine_is_rejected_by_name(capsys: pytest.CaptureFixture[str], text: str):
    with pytest.raises(SystemExit):
        parsed(f"--min-cosine-p1={text}")
    said = f"argument --min-cosine-p1: must be a cosine, a number from -1 to 1 such as 0.98, not {text!r}\n"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "what"),
    [
        ("--min-rank-agreement=1.5", "a number from -1 to 1 such as 0.95, not '1.5'"),
        ("--min-top-kept=-0.1", "a number from 0 to 1 such as 0.95, not '-0.1'"),
        ("--max-score-error=-1", "a number of at least 0 such as 0.03, not '-1'"),
        ("--max-score-error=inf", "a number of at least 0 such as 0.03, not 'inf'"),
        ("--max-score-error=nan", "a number of at least 0 such as 0.03, not 'nan'"),
    ],
)
def test_a_value_that_a_figure_cannot_have_is_rejected_by_name(
    capsys: pytest.CaptureFixture[str], argument: str, what: str
):
    with pytest.raises(SystemExit):
        parsed(argument)
    assert f"argument {argument.partition('=')[0]}: must be {what}\n" in capsys.readouterr().err


@given(st.fixed_dictionaries({option.field: st.floats(0, 1) for option in OPTIONS}))
def test_build_arguments_are_read_back_without_loss(values: dict[str, float]):
    overrides = ThresholdOverrides(values)
    flags = {option.variable: option.flag for option in OPTIONS}
    assert parsed(*(f"{flags[name]}={value}" for name, value in overrides.build_arguments().items())) == overrides


def test_every_threshold_has_an_option():
    for options, thresholds in ((COSINE_OPTIONS, Thresholds), (SCORE_OPTIONS, ScoreThresholds)):
        assert [option.field for option in options] == [field.name for field in dataclasses.fields(thresholds)]


@pytest.mark.parametrize("spec", PRECISIONS.values(), ids=lambda spec: spec.precision)
def test_defaults_allow_less_in_the_worst_text_than_in_the_mean(spec: PrecisionSpec):
    assert 0 < spec.thresholds.minimum <= spec.thresholds.p1 <= spec.thresholds.mean < 1


def test_fp32_is_held_to_more_than_int8():
    int8, fp32 = (PRECISIONS[precision].thresholds for precision in (Precision.INT8, Precision.FP32))
    assert all(getattr(fp32, option.field) > getattr(int8, option.field) for option in COSINE_OPTIONS)
