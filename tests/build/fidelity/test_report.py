"""What ``fidelity.json`` holds: worst texts, figures by length, and everything read back as it was written."""

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
    Measured,
    by_length,
    make_report,
    worst_first,
)
from manifest import BundleError, Task, from_json, to_json
from tests.support.bundles.fidelity_reports import a_report, measured

TEXTS = st.lists(st.builds(measured, tokens=st.integers(0, 600), cosine=st.floats(-1, 1)), max_size=40)


def test_what_is_written_is_read_back_equal():
    report = a_report()
    assert from_json(FidelityReport, to_json(report), "fidelity.json") == report


def test_a_field_that_is_missing_is_named():
    text = to_json(a_report()).replace('"cpus"', '"machines"')
    with pytest.raises(BundleError, match="unknown field: machines"):
        from_json(FidelityReport, text, "fidelity.json")


def test_each_text_has_its_figures_and_the_worst_their_text():
    texts = [measured(number=n, tokens=n, cosine=1 - n / 1000, task=Task.QUERY) for n in range(1, 31)]
    report = make_report({}, a_report().thresholds, texts, (), {})
    assert [(one.number, one.tokens, one.cosine, one.task) for one in report.texts] == [
        (one.number, one.tokens, one.cosine, one.task) for one in texts
    ]
    assert report.worst == tuple(reversed(texts))[:WORST]


def test_equal_cosines_keep_their_order_and_what_is_no_number_comes_first():
    texts = [measured(number=n, cosine=cosine) for n, cosine in enumerate((0.5, math.nan, 0.5, 0.4), 1)]
    assert [one.number for one in worst_first(texts)] == [2, 4, 1, 3]


@pytest.mark.parametrize(
    ("tokens", "first", "last"),
    [(0, 1, 8), (1, 1, 8), (8, 1, 8), (9, 9, 16), (32, 17, 32), (256, 129, 256), (257, 257, None), (8192, 257, None)],
)
def test_a_text_belongs_to_the_bin_of_its_length(tokens: int, first: int, last: int | None):
    assert by_length([measured(tokens=tokens, cosine=0.5)]) == [LengthFigures(first, last, 1, 0.5, 0.5)]


@given(TEXTS)
def test_bins_are_numpys_and_hold_every_text_once(texts: list[Measured]):
    found = by_length(texts)
    assert sum(one.texts for one in found) == len(texts)
    places = np.maximum(np.digitize([one.tokens for one in texts], LENGTHS), 1)
    for one in found:
        cosines = np.array([text.cosine for text in texts])[places == LENGTHS.index(one.first) + 1]
        assert one.texts == len(cosines)
        assert one.cosine_mean == pytest.approx(cosines.mean(), abs=10**-DECIMALS)
        assert one.cosine_min == pytest.approx(cosines.min(), abs=10**-DECIMALS)


def test_a_report_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_report().texts = ()
