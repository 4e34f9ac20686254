"""Thresholds of cosines: as options, over the defaults, and as arguments of an image's build."""

from __future__ import annotations

import argparse
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.fidelity.thresholds import (
    NO_OVERRIDES,
    OPTIONS,
    Option,
    ThresholdOverrides,
    Thresholds,
    add_options,
    read_options,
)
from build.precisions import PRECISIONS, PrecisionSpec
from manifest import Precision

PLAIN = Thresholds(mean=0.9, p1=0.8, minimum=0.7)


def parsed(*arguments: str) -> ThresholdOverrides:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return read_options(parser.parse_args(arguments))


def test_without_options_the_defaults_apply():
    assert parsed() == NO_OVERRIDES
    assert NO_OVERRIDES.over(PLAIN) == PLAIN
    assert NO_OVERRIDES.build_arguments() == {}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
def test_an_option_sets_one_threshold(option: Option):
    overrides = parsed(option.flag, "-0.5")
    assert overrides.over(PLAIN) == dataclasses.replace(PLAIN, **{option.field: -0.5})
    assert overrides.build_arguments() == {option.variable: "-0.5"}


def test_zero_is_a_threshold_and_not_the_default():
    assert parsed("--min-cosine-mean", "0").over(PLAIN).mean == 0


@pytest.mark.parametrize("text", ["1.01", "-1.01", "nan", "inf", "98%", "0,98", ""])
def test_a_value_that_is_no_cosine_is_rejected_by_name(capsys: pytest.CaptureFixture[str], text: str):
    with pytest.raises(SystemExit):
        parsed(f"--min-cosine-p1={text}")
    said = f"argument --min-cosine-p1: must be a cosine, a number from -1 to 1 such as 0.98, not {text!r}\n"
    assert said in capsys.readouterr().err


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_build_arguments_are_read_back_without_loss(mean: float, p1: float, minimum: float):
    overrides = ThresholdOverrides({"mean": mean, "p1": p1, "minimum": minimum})
    flags = {option.variable: option.flag for option in OPTIONS}
    assert parsed(*(f"{flags[name]}={value}" for name, value in overrides.build_arguments().items())) == overrides


def test_every_threshold_has_an_option():
    assert [option.field for option in OPTIONS] == [field.name for field in dataclasses.fields(Thresholds)]


@pytest.mark.parametrize("spec", PRECISIONS.values(), ids=lambda spec: spec.precision)
def test_defaults_allow_less_in_the_worst_text_than_in_the_mean(spec: PrecisionSpec):
    assert 0 < spec.thresholds.minimum <= spec.thresholds.p1 <= spec.thresholds.mean < 1


def test_fp32_is_held_to_more_than_int8():
    int8, fp32 = (PRECISIONS[precision].thresholds for precision in (Precision.INT8, Precision.FP32))
    assert all(getattr(fp32, option.field) > getattr(int8, option.field) for option in OPTIONS)
