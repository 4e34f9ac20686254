"""Decides where a window of tokens ends: at a sentence, else a word, else anywhere."""

from __future__ import annotations

from enum import IntEnum

REACH = 64
"""Characters around a place that are looked at: a bound for texts of white space or brackets alone."""

CLOSERS = "\"'”’»›)]}」』】〉》）］｝"
STOPS = frozenset(".!?…؟۔।")
STOPS_WITHOUT_SPACE = frozenset("。！？｡")
"""Full stops of scripts that put no space behind them."""
NEVER_FIRST = frozenset(CLOSERS) | STOPS_WITHOUT_SPACE
"""What still belongs to the sentence before it, where no white space parts them."""

Span = tuple[int, int]


class End(IntEnum):
    NONE = 0
    WORD = 1
    SENTENCE = 2


def window_length(text: str, spans: list[Span], capacity: int) -> int:
    """How many of the tokens make the next window: as many as end at a sentence, else at a word, else ``capacity``.

    ``spans`` are those of at least ``capacity`` + 1 tokens, and ``capacity`` is at least 1.
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
    """What ends in the window from ``start`` on between a token that ends at ``left`` and one that begins at ``right``.

    A word ends where white space is between, a sentence where that has a line feed or stands behind a full stop with
    its closing quotes and brackets. Nothing ends inside a character, between a space and the word that it introduces,
    or where the window would have nothing but white space.
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
