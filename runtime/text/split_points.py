"""Finds where a text may be cut into segments to be tokenized one by one; the tokenizer has the last word."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import islice

MAX_CANDIDATES = 16
"""Places of one sort that are worth a look: where that many do not serve, the tokenizer joins at all of that sort."""


def split_points(text: str, low: int, high: int) -> Iterator[int]:
    """Places in (low, high], the likelier sorts first, of each the last ones first; ``high`` < len(text).

    Before white space; where there is none that serves, as in Chinese prose, before punctuation behind a letter; at
    last between any two signs or ideographs. Never between others: tokenizers count digits from the first of a number,
    and remove control characters and accents, so that what is far apart may be one word.
    """
    indices = range(high, low, -1)
    yield from islice((n for n in indices if _is_space(text[n]) and not text[n - 1].isspace()), MAX_CANDIDATES)
    yield from islice((n for n in indices if _category(text[n]) == "P" and text[n - 1].isalnum()), MAX_CANDIDATES)
    yield from islice((n for n in indices if _is_isolated(text[n]) and _is_isolated(text[n - 1])), MAX_CANDIDATES)


def _is_space(character: str) -> bool:
    """Space that no tokenizer takes for a control character, as some do others of Python's white space."""
    return character in "\t\n\r" or unicodedata.category(character) == "Zs"


def _is_isolated(character: str) -> bool:
    """Punctuation, symbols, and letters without case: ideographs, but also scripts whose letters form words."""
    return _category(character) in "PS" or unicodedata.category(character) == "Lo"


def _category(character: str) -> str:
    """Unicode's general category in one letter, such as L for letters and P for punctuation."""
    return unicodedata.category(character)[0]
