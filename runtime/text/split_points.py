"""Where a long text may be split before it is tokenized. The tokenizer checks each candidate."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import islice

MAX_CANDIDATES = 16
"""Candidates tried per category. If that many fail, the tokenizer merges across all of the category."""


def split_points(text: str, low: int, high: int) -> Iterator[int]:
    """Yield indices in (low, high], likelier categories first, and the last indices of each category first.

    The categories are: before white space; before punctuation after a letter (Chinese prose has no white space);
    between any two symbols or ideographs. Other characters are never split: tokenizers group the digits of a number
    from its start, and remove control characters and accents, so that distant characters may form one word. ``high`` is
    less than len(text).
    """
    indices = range(high, low, -1)
    yield from islice((n for n in indices if _is_space(text[n]) and not text[n - 1].isspace()), MAX_CANDIDATES)
    yield from islice((n for n in indices if _category(text[n]) == "P" and text[n - 1].isalnum()), MAX_CANDIDATES)
    yield from islice((n for n in indices if _is_isolated(text[n]) and _is_isolated(text[n - 1])), MAX_CANDIDATES)


def _is_space(character: str) -> bool:
    """Whether every tokenizer sees white space here; to some, other white space of Python's is a control character."""
    return character in "\t\n\r" or unicodedata.category(character) == "Zs"


def _is_isolated(character: str) -> bool:
    """Whether it is punctuation, a symbol or a caseless letter. Not all caseless letters are ideographs."""
    return _category(character) in "PS" or unicodedata.category(character) == "Lo"


def _category(character: str) -> str:
    """Return Unicode's general category as one letter, such as L for letters and P for punctuation."""
    return unicodedata.category(character)[0]
