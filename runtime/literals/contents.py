"""What strings are made of, which decides how they can be read: found for a block of JSON text at a time."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache

import numpy as np
import orjson
from numpy.typing import NDArray

from runtime.literals.division import BACKSLASH, part_end

Bytes = NDArray[np.uint8]
Marks = NDArray[np.bool_]

PARSED = 64 * 1024
"""Bytes that are parsed at a time: a parser takes twelve times as much memory, which is slow if it is mapped anew."""

SLASH, BY_NUMBER = b"/u"
LETTERS = b'nu"\\rtbf'
"""What else follows a backslash, in the order in which it is looked for."""
ESCAPE_BY_NUMBER = b"\\u"

SAMPLE = 1024
"""Bytes of a block that are looked at first."""


class Content(IntEnum):
    """What there is in the strings of a block."""

    PLAIN = 0
    """ASCII, and nothing is escaped."""
    ESCAPED = 1
    """ASCII, and every escape has two bytes."""
    UNESCAPED = 2
    """Characters beyond ASCII, and nothing is escaped."""
    OTHER = 3
    """Escapes by number, both characters beyond ASCII and escapes, or what is not known to have less."""
    WRONG = 4
    """Something that no string has."""


class Contents:
    """The contents of successive blocks, none of which divides a character or an escape."""

    def __init__(self) -> None:
        self._ends, self._contents = array("Q"), bytearray()

    def add(self, end: int, content: Content) -> None:
        """The next block, and where it ends."""
        self._ends.append(end)
        self._contents.append(content)

    def within(self, begin: int, end: int) -> Iterator[tuple[int, int, Content]]:
        """The parts of these bytes that are in one block each: from where to where, and the block's content."""
        number = bisect_right(self._ends, begin)
        while begin < end:
            stop = min(self._ends[number], end)
            yield begin, stop, Content(self._contents[number])
            begin, number = stop, number + 1

    def are_wrong(self, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> Marks:
        """Which of these ranges have bytes in a block that is wrong, (n,)."""
        wrong_before = np.concatenate(([0], np.cumsum(np.frombuffer(self._contents, np.uint8) == Content.WRONG)))
        of_blocks = np.frombuffer(self._ends, np.uint64).astype(np.int64)
        first, last = (np.searchsorted(of_blocks, places, "right") for places in (begins, ends - 1))
        return wrong_before[last + 1] > wrong_before[first]


def content_of(values: Bytes, has_backslashes: bool) -> Content:
    """The content of bytes of nothing but strings."""
    if not has_backslashes or not _begins_with_numbers(values):
        simple = simple_content(values, find_escapes(values) if has_backslashes else None)
        if simple is not None:
            return simple
    return Content.OTHER if _is_string(values.tobytes()) else Content.WRONG


def simple_content(values: Bytes, escapes: Marks | None) -> Content | None:
    """The content if that shows without a parser, which it does if it is plain, escaped or unescaped.

    ``escapes``: as ``find_escapes`` has it; None: no backslash.
    """
    if (escapes is not None and _begins_with_numbers(values)) or values.min() < 0x20:
        return None
    if values.max() >= 0x80:
        return Content.UNESCAPED if escapes is None and _is_utf8(values) else None
    if escapes is None:
        return Content.PLAIN
    return Content.ESCAPED if _have_two_bytes(values, escapes) else None


def _begins_with_numbers(values: Bytes) -> bool:
    """Whether there is soon what looks like an escape by number. Where they are as frequent as in base64, there is."""
    return ESCAPE_BY_NUMBER in values[:SAMPLE].tobytes()


def find_escapes(values: Bytes) -> Marks:
    """Which bytes are backslashes that escape the byte behind them, (n,). The first byte is not escaped."""
    backslashes = values == BACKSLASH
    if not (backslashes[1:] & backslashes[:-1]).any():
        return backslashes
    # Of successive ones, every other from the first on. In a number whose bits these are, the first byte's the lowest,
    # adding the first bit of a run to it clears the run.
    size = (len(values) + 7) // 8
    bits = int.from_bytes(np.packbits(backslashes, bitorder="little").tobytes(), "little")
    even = _every_other(size)
    runs_from_even = bits & ~(bits + (bits & ~(bits << 1) & even))
    escapes = bits & ~(runs_from_even ^ even)
    packed = np.frombuffer(escapes.to_bytes(size, "little"), np.uint8)
    return np.unpackbits(packed, count=len(values), bitorder="little").view(np.bool_)


@lru_cache(maxsize=4)
def _every_other(size: int) -> int:
    return int.from_bytes(b"\x55" * size, "little")


def parsed(text: bytes, begin: int, end: int) -> Iterator[str]:
    """The string of which this is the literal, without quotes, in parts. Raises ``orjson.JSONDecodeError``."""
    view = memoryview(text)
    while begin < end:
        stop = end if end - begin <= PARSED else part_end(text, begin, begin + PARSED)
        yield orjson.loads(b"".join((b'"', view[begin:stop], b'"')))
        begin = stop


def _have_two_bytes(values: Bytes, escapes: Marks) -> bool:
    if escapes[-1]:
        return False
    escaped = values[1:]
    others = escapes[:-1] & (escaped != SLASH)
    for letter in LETTERS:
        if not others.any():
            return True
        if letter == BY_NUMBER:
            if (others & (escaped == BY_NUMBER)).any():
                return False
        else:
            others &= escaped != letter
    return not others.any()


def _is_utf8(text: Bytes) -> bool:
    try:
        str(text.data, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_string(text: bytes) -> bool:
    try:
        for _ in parsed(text, 0, len(text)):
            pass
    except orjson.JSONDecodeError:
        return False
    return True
