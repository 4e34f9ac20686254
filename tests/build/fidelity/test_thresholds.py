"""The lowest cosines that a bundle may have: as options, over the defaults, and as arguments of an image's build."""

from __future__ import annotations

import argparse
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.fidelity.thresholds import DEFAULTS, OPTIONS, Asked, Thresholds, add_options, read_options
from build.precisions import PRECISIONS
from manifest import Precision

PLAIN = Thresholds(mean=0.9, p1=0.8, minimum=0.7)


def parsed(*arguments: str) -> Asked:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return read_options(parser.parse_args(arguments))


def test_without_options_the_defaults_stand():
    assert parsed() == DEFAULTS
    assert DEFAULTS.over(PLAIN) == PLAIN
    assert DEFAULTS.build_arguments() == {}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.flag)
def test_an_option_sets_one_threshold(option):
    asked = parsed(option.flag, "-0.5")
    assert asked.over(PLAIN) == dataclasses.replace(PLAIN, **{option.field: -0.5})
    assert asked.build_arguments() == {option.variable: "-0.5"}


def test_zero_is_a_threshold_and_not_the_default():
    assert parsed("--min-cosine-mean", "0").over(PLAIN).mean == 0


@pytest.mark.parametrize("text", ["1.01", "-1.01", "nan", "inf", "98%", "0,98", ""])
def test_what_is_no_cosine_is_refused_by_name(capsys: pytest.CaptureFixture[str], text: str):
    with pytest.raises(SystemExit):
        parsed(f"--min-cosine-p1={text}")
    assert f"argument --min-cosine-p1: {text!r} is not a cosine: give a number from -1 to 1" in capsys.readouterr().err


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_what_an_image_is_told_is_read_back_without_loss(mean: float, p1: float, minimum: float):
    asked = Asked(mean, p1, minimum)
    flags = {option.variable: option.flag for option in OPTIONS}
    assert parsed(*(f"{flags[name]}={value}" for name, value in asked.build_arguments().items())) == asked


@pytest.mark.parametrize("row", PRECISIONS.values(), ids=lambda row: row.precision)
def test_defaults_allow_less_in_the_worst_text_than_in_the_mean(row):
    assert 0 < row.thresholds.minimum <= row.thresholds.p1 <= row.thresholds.mean < 1


def test_fp32_is_held_to_more_than_int8():
    int8, fp32 = (PRECISIONS[precision].thresholds for precision in (Precision.INT8, Precision.FP32))
    assert all(getattr(fp32, option.field) > getattr(int8, option.field) for option in OPTIONS)
