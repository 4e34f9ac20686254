"""Finds the string literals of a JSON body and what they have, in steps of less than a millisecond."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runtime.literals.contents import Bytes, Content, Contents, Marks, content_of, find_escapes, simple_content
from runtime.literals.division import part_end

BLOCK = 128 * 1024
"""Bytes of a step."""

QUOTE = ord('"')
FILLING = ord("_")
"""Stands for what is no string. It completes no escape."""


Places = NDArray[np.int64]


class TooMuchStructure(Exception):
    """The body has more bytes outside its strings than allowed."""


class Unterminated(Exception):
    """The last string has no end."""


class Literals(NamedTuple):
    """The string literals of a body, in order."""

    begins: Places
    """Where each begins, behind its quote, (n,)."""
    ends: Places
    """Where its last quote is, (n,)."""
    contents: Contents
    """Of the whole body. Blocks without strings are plain."""


def find_literals(body: bytes, max_outside: int, block: int = BLOCK) -> Generator[None, None, Literals]:
    """Yields between steps, each of at most ``block`` bytes.

    A backslash outside strings, which JSON does not have, makes what follows it mean nothing, and is itself outside the
    strings that are found. Raises ``TooMuchStructure`` for more than ``max_outside`` bytes outside strings, and
    ``Unterminated``.
    """
    contents, found = Contents(), [np.empty(0, np.int64)]
    count = outside = at = 0
    while at < len(body):
        end = part_end(body, at, min(at + block, len(body)))
        values = np.frombuffer(body, np.uint8, end - at, at)
        has_backslashes = body.find(b"\\", at, end) >= 0
        is_inside = count % 2 == 1
        if body.find(b'"', at, end) >= 0:
            escapes = find_escapes(values) if has_backslashes else None
            quotes = _find_quotes(values, escapes)
            contents.add(end, _content_between(values, escapes, quotes, is_inside))
            quotes += at
            found.append(quotes)
            openings = quotes[is_inside::2]
            outside += int(openings.sum()) - int((quotes[not is_inside :: 2] + 1).sum())
            count += len(quotes)
        else:
            contents.add(end, content_of(values, has_backslashes) if is_inside else Content.PLAIN)
        at = end
        # PERF: each string but the last needs a comma or a colon behind it, so that more of them need not be seen.
        if outside + (0 if count % 2 else at) > max_outside or count > 2 * (max_outside + 1):
            raise TooMuchStructure
        yield
    if count % 2:
        raise Unterminated
    quotes = np.concatenate(found)
    return Literals(quotes[::2] + 1, quotes[1::2], contents)


def _find_quotes(values: Bytes, escapes: Marks | None) -> Places:
    quotes = values == QUOTE
    if escapes is not None:
        quotes[1:] &= ~escapes[:-1]
    return np.flatnonzero(quotes)


def _content_between(values: Bytes, escapes: Marks | None, quotes: Places, is_inside: bool) -> Content:
    """The content of what is between quotes. ``is_inside``: whether that is where the block begins."""
    simple = simple_content(values, escapes)
    if simple is not None:
        return simple
    strings = _fill_outside(values, quotes, is_inside)
    return content_of(strings, escapes is not None)


def _fill_outside(values: Bytes, quotes: Places, is_inside: bool) -> Bytes:
    """A copy with something plain in place of quotes and of what is outside strings."""
    begins, ends = quotes[not is_inside :: 2], quotes[is_inside::2]
    if not is_inside:
        begins = np.concatenate(([0], begins))
    if len(ends) < len(begins):
        ends = np.concatenate((ends, [len(values) - 1]))
    lengths = ends + 1 - begins
    # The positions from each beginning to its end.
    places = np.arange(lengths.sum()) + np.repeat(begins - (np.cumsum(lengths) - lengths), lengths)
    filled = values.copy()
    filled[places] = FILLING
    return filled
