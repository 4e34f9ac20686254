"""What ``fidelity.json`` holds: worst texts, figures by length, and that it is read back as it was written."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.fidelity.cosine import DECIMALS
from build.fidelity.report import (
    LENGTHS,
    WORST,
    FidelityReport,
    LengthFigures,
    MeasuredClass,
    MeasuredText,
    by_cosine,
    by_length,
    cosine_report,
)
from build.fidelity.thresholds import Thresholds
from manifest import BundleError, CosineFigures, Task, from_json, to_json
from tests.support.bundles.fidelity_reports import CPU_CLASS, a_report, measured

TEXTS = st.lists(st.builds(measured, tokens=st.integers(0, 600), cosine=st.floats(-1, 1)), max_size=40)


def read_back(report: FidelityReport) -> FidelityReport:
    return from_json(FidelityReport, to_json(report), "fidelity.json")


def test_a_written_report_is_read_back_equal():
    assert read_back(a_report()) == a_report()


def test_a_report_without_cosines_is_read_back_equal():
    report = dataclasses.replace(a_report(), cosine=None)
    assert read_back(report) == report


def test_classes_keep_their_order():
    report = a_report()
    first = report.cosine.classes[0]
    second = dataclasses.replace(first, cpu_class=dataclasses.replace(first.cpu_class, name="a name that sorts before"))
    report = dataclasses.replace(report, cosine=dataclasses.replace(report.cosine, classes=(first, second)))
    assert read_back(report).cosine.classes == (first, second)


def test_an_unknown_field_is_named():
    text = to_json(a_report()).replace('"cpus"', '"machines"')
    with pytest.raises(BundleError, match="unknown field: machines"):
        from_json(FidelityReport, text, "fidelity.json")


def test_each_text_has_its_figures_and_the_worst_their_text():
    texts = [measured(number=n, tokens=n, cosine=1 - n / 1000, task=Task.QUERY) for n in range(1, 31)]
    measured_class = MeasuredClass(CPU_CLASS, CosineFigures(30, 0.9, 0.8, 0.7), tuple(texts), golden=())
    report = cosine_report([measured_class], Thresholds(0.9, 0.8, 0.7))
    assert [(text.number, text.tokens, text.cosine, text.task) for text in report.texts] == [
        (text.number, text.tokens, text.cosine, text.task) for text in texts
    ]
    assert report.worst == tuple(reversed(texts))[:WORST]


def test_equal_cosines_keep_their_order_and_nan_comes_first():
    texts = [measured(number=n, cosine=cosine) for n, cosine in enumerate((0.5, math.nan, 0.5, 0.4), 1)]
    assert [text.number for text in by_cosine(texts)] == [2, 4, 1, 3]


@pytest.mark.parametrize(
    ("tokens", "first", "last"),
    [(0, 1, 8), (1, 1, 8), (8, 1, 8), (9, 9, 16), (32, 17, 32), (256, 129, 256), (257, 257, None), (8192, 257, None)],
)
def test_a_text_belongs_to_the_bin_of_its_length(tokens: int, first: int, last: int | None):
    assert by_length([measured(tokens=tokens, cosine=0.5)]) == [LengthFigures(first, last, 1, 0.5, 0.5)]


@given(TEXTS)
def test_bins_are_numpys_and_hold_every_text_once(texts: list[MeasuredText]):
    found = by_length(texts)
    assert sum(figures.texts for figures in found) == len(texts)
    bins = np.maximum(np.digitize([text.tokens for text in texts], LENGTHS), 1)
    for figures in found:
        cosines = np.array([text.cosine for text in texts])[bins == LENGTHS.index(figures.first) + 1]
        assert figures.texts == len(cosines)
        assert figures.cosine_mean == pytest.approx(cosines.mean(), abs=10**-DECIMALS)
        assert figures.cosine_min == pytest.approx(cosines.min(), abs=10**-DECIMALS)


def test_a_report_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_report().weight_records = ()
