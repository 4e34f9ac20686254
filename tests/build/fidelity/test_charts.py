"""The charts of the fidelity page: bins that hold every text, and bars that fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.fidelity.charts import MAX_BINS, MIN_BINS, TICKS, Bar, Histogram, error_bars, error_of, histogram
from build.fidelity.report import by_length
from tests.support.bundles.fidelity_reports import measured

COSINES = st.lists(st.floats(0, 1).map(lambda value: round(value, 6)) | st.floats(0.99, 1), min_size=1, max_size=60)


def labels(chart: Histogram) -> list[str]:
    return [tick.label for tick in chart.ticks]


def bin_numbers(chart: Histogram) -> set[int]:
    return {number for number, column in enumerate(chart.columns) if column.texts}


@pytest.mark.parametrize(
    ("cosines", "axis"),
    [
        ([0.98, 0.9999, 1.0], ["0.976", "0.982", "0.988", "0.994", "1.000"]),
        ([0.985], ["0.984", "0.988", "0.992", "0.996", "1.000"]),
        ([1.0], ["0.999992", "0.999994", "0.999996", "0.999998", "1.000000"]),
        ([0.9987, 0.9996], ["0.9984", "0.9988", "0.9992", "0.9996", "1.0000"]),
        ([0.0, 1.0], ["-0.20", "0.10", "0.40", "0.70", "1.00"]),
        ([-1.0, 1.0], ["-1.40", "-0.80", "-0.20", "0.40", "1.00"]),
    ],
)
def test_the_axis_ends_at_1_and_begins_at_a_round_figure_below_all_texts(cosines: list[float], axis: list[str]):
    assert labels(histogram(cosines)) == axis
    assert float(axis[0]) <= min(cosines)


@given(COSINES)
def test_every_text_is_in_one_bin(cosines: list[float]):
    chart = histogram(cosines)
    assert MIN_BINS <= len(chart.columns) <= MAX_BINS
    assert sum(column.texts for column in chart.columns) == len(cosines)
    first, last = float(chart.ticks[0].label), float(chart.ticks[-1].label)
    width = (last - first) / len(chart.columns)
    lows = [first + number * width for number in range(len(chart.columns))]
    highs = [*lows[1:], last + width]  # the last bin has 1 itself
    for column, low, high in zip(chart.columns, lows, highs, strict=True):
        surely = sum(low + 1e-4 * width <= cosine < high - 1e-4 * width for cosine in cosines)
        perhaps = sum(low - 1e-4 * width <= cosine < high + 1e-4 * width for cosine in cosines)
        assert surely <= column.texts <= perhaps


@given(COSINES)
def test_columns_fill_the_axis_and_the_highest_fills_the_chart(cosines: list[float]):
    chart = histogram(cosines)
    count = len(chart.columns)
    assert [column.x for column in chart.columns] == pytest.approx([100 * number / count for number in range(count)])
    assert [column.width for column in chart.columns] == pytest.approx([100 / count] * count)
    most = max(column.texts for column in chart.columns)
    assert [column.height for column in chart.columns] == pytest.approx(
        [100 * column.texts / most for column in chart.columns]
    )
    assert [tick.x for tick in chart.ticks] == pytest.approx([100 * number / TICKS for number in range(TICKS + 1)])


@given(st.integers(0, 15))
def test_a_cosine_on_a_border_belongs_to_the_bin_above(number: int):
    """Whatever the division makes of its last bit; 0.984 sets the scale to steps of 0.001."""
    chart = histogram([0.984, round(0.984 + number / 1000, 6)])
    assert len(chart.columns) == 16
    assert bin_numbers(chart) == {0, number}


def test_each_length_has_a_bar_for_its_mean_and_its_largest_error():
    lengths = by_length([measured(tokens=tokens, cosine=1 - tokens / 10_000) for tokens in (3, 7, 40, 300)])
    bars = error_bars(lengths)
    assert [bar.mean for bar in bars] == pytest.approx([100 * error / 0.03 for error in (0.0005, 0.004, 0.03)])
    assert [bar.worst for bar in bars] == pytest.approx([100 * error / 0.03 for error in (0.0007, 0.004, 0.03)])


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(-1, 1)), min_size=1, max_size=20))
def test_no_bar_leaves_the_chart(texts: list[tuple[int, float]]):
    lengths = by_length([measured(tokens=tokens, cosine=cosine) for tokens, cosine in texts])
    for bar in error_bars(lengths):
        assert 0 <= bar.mean <= bar.worst + 1e-4 * 100
        assert bar.worst <= 100


def test_texts_without_an_error_have_no_bar():
    assert error_bars(by_length([measured(cosine=1.0)])) == [Bar(0.0, 0.0)]


def test_a_cosine_above_1_is_no_error():
    assert error_of(1 + 1e-9) == 0
    assert error_of(0.75) == 0.25
