"""Where a long text may be split before it is tokenized. The tokenizer checks each candidate."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from itertools import islice

MAX_CANDIDATES = 16
"""Candidates tried per category. If that many fail, the tokenizer merges across all of the category."""

BLOCK = 1024
"""Characters that are looked at together: a block whose different characters are all of another category is skipped."""


def split_points(text: str, low: int, high: int) -> Iterator[int]:
    """Yield indices in (low, high], likelier categories first, and the last indices of each category first.

    The categories are: before white space; before punctuation after a letter (Chinese prose has no white space);
    between any two symbols or ideographs. Other characters are never split: tokenizers group the digits of a number
    from its start, and remove control characters and accents, so that distant characters may form one word. ``high`` is
    less than len(text).
    """
    for accepts, accepts_before in CATEGORIES:
        indices = _indices(text, low, high, accepts)
        yield from islice((n for n in indices if accepts_before(text[n - 1])), MAX_CANDIDATES)


def _indices(text: str, low: int, high: int, accepts: Callable[[str], bool]) -> Iterator[int]:
    """Yield the indices in (low, high] of the characters that are accepted, the last ones first."""
    for end in range(high, low, -BLOCK):
        start = max(low, end - BLOCK)
        # PERF: a megabyte without any candidate, such as one long word, has few different characters.
        accepted = set(filter(accepts, set(text[start + 1 : end + 1])))
        if accepted:
            yield from (n for n in range(end, start, -1) if text[n] in accepted)


def _is_space(character: str) -> bool:
    """Whether every tokenizer sees white space here; to some, other white space of Python's is a control character."""
    return character in "\t\n\r" or unicodedata.category(character) == "Zs"


def _is_isolated(character: str) -> bool:
    """Whether it is punctuation, a symbol or a caseless letter. Not all caseless letters are ideographs."""
    return _category(character) in "PS" or unicodedata.category(character) == "Lo"


def _category(character: str) -> str:
    """Return Unicode's general category as one letter, such as L for letters and P for punctuation."""
    return unicodedata.category(character)[0]


def _is_punctuation(character: str) -> bool:
    return _category(character) == "P"


CATEGORIES: tuple[tuple[Callable[[str], bool], Callable[[str], bool]], ...] = (
    (_is_space, lambda before: not before.isspace()),
    (_is_punctuation, str.isalnum),
    (_is_isolated, _is_isolated),
)
"""For each category, what the character after a candidate is, and what the one before it is."""
