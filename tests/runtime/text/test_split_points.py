"""Where a long text may be split: which candidates, in which order, and how many."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.text.split_points import MAX_CANDIDATES, split_points
from tests.support.models.tokenizer_kinds import wild_texts


def test_candidates_are_before_white_space_then_before_punctuation_then_between_symbols():
    text = "the tea, a  sea..)\n漢字12\x1fe\u0301x"
    space, punctuation, symbols = [18, 10, 8, 3], [15, 7], [20, 17, 16]
    assert list(split_points(text, 0, len(text) - 1)) == [*space, *punctuation, *symbols]


@pytest.mark.parametrize("text", ["1234567890", "unbroken", "e\u0301e\u0301e\u0301", "\x00\x1f\x85\x85\x1c\x1c"])
def test_numbers_words_accents_and_control_characters_are_never_split(text: str):
    assert list(split_points(text, 0, len(text) - 1)) == []


@pytest.mark.parametrize("text", [" x" * 100, "x." * 100, "漢" * 200])
def test_of_each_category_only_the_last_candidates_are_tried(text: str):
    indices = list(split_points(text, 0, len(text) - 1))
    assert len(indices) == MAX_CANDIDATES
    assert indices == sorted(indices, reverse=True)
    assert indices[0] >= len(text) - 2


@settings(max_examples=200, deadline=None)
@given(wild_texts.filter(lambda text: len(text) > 2), st.data())
def test_candidates_are_in_the_range_and_few(text: str, data):
    high = data.draw(st.integers(1, len(text) - 1))
    low = data.draw(st.integers(0, high - 1))
    indices = list(split_points(text, low, high))
    assert len(indices) <= 3 * MAX_CANDIDATES
    assert all(low < index <= high for index in indices)
