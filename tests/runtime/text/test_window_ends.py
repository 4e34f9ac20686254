"""Where windows end: what ends between two tokens, and which end a window takes."""

from __future__ import annotations

import pytest

from runtime.text.window_ends import REACH, End, end_between, window_length


@pytest.mark.parametrize(
    ("before", "after", "end"),
    [
        ("the tea.", " the", End.SENTENCE),
        ("the tea?", " the", End.SENTENCE),
        ('the "tea."', " the", End.SENTENCE),
        ("the (tea…)", " the", End.SENTENCE),
        ("the tea", "\nthe", End.SENTENCE),
        ("the tea\n", "the", End.SENTENCE),
        ("漢字。", "漢", End.SENTENCE),
        ("漢。」", "漢", End.SENTENCE),
        ("the tea", " the", End.WORD),
        ("tea,", " tea", End.WORD),
        ("tea  ", " tea", End.WORD),
        ("漢。", "」", End.NONE),
        ("漢！", "！", End.NONE),
        ("the te", "a", End.NONE),
        ("the tea.", "the", End.NONE),
        ("漢", "字", End.NONE),
        ("tea ", "tea", End.NONE),
        ("   ", " tea", End.NONE),
        ("", "tea", End.NONE),
    ],
)
def test_what_ends_between_two_tokens(before: str, after: str, end: End):
    """The first token ends where ``before`` does, and the next one begins with the first letter of ``after``."""
    right = len(before) + len(after) - len(after.lstrip())
    assert end_between(before + after, 0, len(before), right) is end


def test_nothing_ends_inside_a_character():
    """Two tokens of one character share its span, so that the next begins before the last one ends."""
    assert end_between("tea. 漢 tea", 0, 6, 5) is End.NONE


def test_white_space_before_the_window_does_not_count():
    text = "tea    tea"
    assert end_between(text, 0, 5, 7) is End.WORD
    assert end_between(text, 3, 5, 7) is End.NONE


def words(text: str) -> list[tuple[int, int]]:
    """The spans of a tokenizer whose tokens are words and punctuation."""
    spans, start = [], 0
    for n, letter in enumerate(text):
        if not letter.isalnum():
            spans += [(start, n)] if n > start else []
            spans += [(n, n + 1)] if not letter.isspace() else []
            start = n + 1
    return [*spans, (start, len(text))] if start < len(text) else spans


@pytest.mark.parametrize(
    ("text", "capacity", "length"),
    [
        ("a. b c d e", 4, 2),
        ("a. b. c d e", 4, 4),
        ("a b c d e", 4, 4),
        ("a b c/d e", 4, 2),
        ("a/b/c/d/e", 4, 4),
        ("a. b", 1, 1),
    ],
)
def test_a_window_is_as_long_as_a_sentence_or_else_a_word_allows(text: str, capacity: int, length: int):
    assert window_length(text, words(text), capacity) == length


@pytest.mark.parametrize("filler", [" ", ")", "\n", "\u3000", ".", "。"])
def test_a_bounded_number_of_characters_is_examined(filler: str):
    """Otherwise texts of white space or brackets alone would take the square of their length."""

    class Watched(str):
        longest = 0

        def __getitem__(self, where):
            found = super().__getitem__(where)
            Watched.longest = max(Watched.longest, len(found))
            return found

    text = Watched("a" + filler * 5000 + "b")
    assert 1 <= window_length(text, [(n, n + 1) for n in range(len(text))], 4000) <= 4000
    assert window_length(text, [(0, 1), (5001, 5002)], 1) == 1
    assert Watched.longest <= REACH
