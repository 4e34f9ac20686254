"""Where a window of tokens ends: at a sentence, otherwise at a word, otherwise anywhere."""

from __future__ import annotations

from enum import IntEnum

REACH = 64
"""Characters examined on each side of an index, which bounds the time for texts of white space or brackets alone."""

CLOSERS = "\"'”’»›)]}」』】〉》）］｝"
"""Quotes and brackets that may follow a full stop and belong to its sentence."""
STOPS = frozenset(".!?…؟۔।")
"""Full stops that end a sentence where white space follows."""
STOPS_WITHOUT_SPACE = frozenset("。！？｡")
"""Full stops of scripts that put no space after them."""
NEVER_FIRST = frozenset(CLOSERS) | STOPS_WITHOUT_SPACE
"""Characters that belong to the sentence before them unless white space is between."""

Span = tuple[int, int]


class End(IntEnum):
    """What ends between two tokens."""

    NONE = 0
    WORD = 1
    SENTENCE = 2


def window_length(text: str, spans: list[Span], capacity: int) -> int:
    """Return the most tokens, up to ``capacity``, that end at a sentence, otherwise at a word, otherwise ``capacity``.

    ``spans`` are those of at least ``capacity`` + 1 tokens. ``capacity`` is at least 1.
    """
    start, word = spans[0][0], 0
    for length in range(capacity, 0, -1):
        end = end_between(text, start, spans[length - 1][1], spans[length][0])
        if end is End.SENTENCE:
            return length
        if end is End.WORD and not word:
            word = length
    return word or capacity


def end_between(text: str, start: int, left: int, right: int) -> End:
    """Return what ends between a token that ends at ``left`` and one that begins at ``right``.

    The window begins at ``start``. A word ends where there is white space; a sentence ends where that includes a line
    feed or follows a full stop with its closing quotes and brackets. Nothing ends inside a character, between a space
    and the word after it, or where the window would have only white space.
    """
    before, after = text[max(start, left - REACH) : left], text[left : min(right + 1, left + REACH)]
    words = before.rstrip()
    space_after = "".join(filter(str.isspace, after))
    if right < left or not words or (before.endswith(" ") and not space_after):
        return End.NONE
    between = before[len(words) :] + space_after
    stop = words.rstrip(CLOSERS)[-1:]
    if "\n" in between or (between and stop in STOPS):
        return End.SENTENCE
    if stop in STOPS_WITHOUT_SPACE and text[right : right + 1] not in NEVER_FIRST:
        return End.SENTENCE
    return End.WORD if between else End.NONE
