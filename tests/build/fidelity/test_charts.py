"""The charts of the fidelity page: bins that hold every text, on an axis that the data choose."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.fidelity.charts import BAR_LEFT, BAR_RIGHT, LEFT, RIGHT, error_by_length, histogram, span_of
from build.fidelity.report import LengthFigures, by_length
from tests.support.bundles.fidelity_reports import measured

COSINES = st.lists(st.floats(-1, 1).map(lambda value: round(value, 6)) | st.floats(0.99, 1), min_size=1, max_size=60)


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def labels(svg: str, kind: str | None) -> list[str]:
    return [one.text for one in drawn(svg).iter("text") if one.get("class") == kind]


def bars(svg: str) -> list[tuple[float, float]]:
    return [(float(one.get("x")), float(one.get("width"))) for one in drawn(svg).iter("rect")]


@pytest.mark.parametrize(
    ("cosines", "axis"),
    [
        ([0.98, 0.9999, 1.0], ["0.980", "0.990", "1.000"]),
        ([1.0], ["0.999990", "0.999995", "1.000000"]),
        ([0.9987, 0.9996], ["0.9987", "0.9993", "1.0000"]),
        ([-1.0, 1.0], ["-1.00", "0.00", "1.00"]),
    ],
)
def test_the_axis_ends_at_1_and_begins_at_a_round_figure_below_all_texts(cosines: list[float], axis: list[str]):
    assert labels(histogram(cosines), None) == axis
    assert float(axis[0]) <= min(cosines)


@given(COSINES)
def test_every_text_is_in_one_bin_inside_the_chart(cosines: list[float]):
    svg = histogram(cosines)
    assert sum(map(int, labels(svg, "count"))) == len(cosines)
    assert all(x >= LEFT and x + width <= RIGHT and width > 5 for x, width in bars(svg))


@given(st.integers(0, 20))
def test_a_cosine_on_a_border_belongs_to_the_bin_above(place: int):
    """Whatever the division makes of its last bit; 0.98 sets the scale to steps of 0.001."""
    svg = histogram([0.98, round(0.98 + place / 1000, 6)])
    step = (RIGHT - LEFT) / 20
    bins = sorted({round((x - LEFT - 1) / step) for x, _ in bars(svg)})
    assert bins == sorted({0, min(place, 19)})


def test_each_length_has_a_row_with_its_span_and_its_worst():
    lengths = by_length([measured(tokens=tokens, cosine=1 - tokens / 10_000) for tokens in (3, 7, 40, 300)])
    svg = error_by_length(lengths)
    assert labels(svg, None) == ["1–8", "0.000700", "33–64", "0.004000", "257 or more", "0.030000"]
    widths = [width for _, width in bars(svg)]
    assert widths == pytest.approx([(BAR_RIGHT - BAR_LEFT) * mean / 0.03 for mean in (0.0005, 0.004, 0.03)], abs=0.1)


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(-1, 1)), min_size=1, max_size=20))
def test_no_bar_leaves_the_chart(texts: list[tuple[int, float]]):
    svg = error_by_length(by_length([measured(tokens=tokens, cosine=cosine) for tokens, cosine in texts]))
    assert all(width >= 0 and x + width <= BAR_RIGHT + 0.1 for x, width in bars(svg))


def test_texts_that_are_all_the_originals_have_no_bar():
    assert bars(error_by_length(by_length([measured(cosine=1.0)]))) == [(BAR_LEFT, 0.0)]


def test_a_span_is_told_by_its_ends():
    assert span_of(LengthFigures(9, 16, 1, 1.0, 1.0)) == "9–16"
    assert span_of(LengthFigures(257, None, 1, 1.0, 1.0)) == "257 or more"


@pytest.mark.parametrize("svg", [histogram([0.9]), error_by_length(by_length([measured()]))])
def test_a_chart_is_named_and_described(svg: str):
    root = drawn(svg)
    assert root.find("title").text
    assert root.find("desc").text
    assert root.get("aria-labelledby").split() == [root.find("title").get("id"), root.find("desc").get("id")]
