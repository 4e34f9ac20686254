"""Reads a large JSON body whose long strings stay where they are."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import orjson

from runtime.literals.long_string import LongString
from runtime.literals.scan import find_quotes

LEFT_BYTES = 2 << 20
"""What is parsed at once has about so many bytes in its strings, for which the interpreter's lock is held for 3 ms."""

SHORTEST, LONGEST = 64, 16 * 1024
"""Bounds of the length up to which strings are left: no name of a field is longer than the first."""


class Cut:
    """A value of which other strings stand for the long ones: all of one length, which no string has that was left."""

    def __init__(self, value: Any, strings: list[LongString], longest_left: int) -> None:
        self.value, self._strings, self._longest_left = value, strings, longest_left

    def original(self, item: Any) -> Any:
        """The long string that the item stands for, or the item itself."""
        if isinstance(item, str) and len(item) > self._longest_left:
            return self._strings[int(item[-STAND_IN_DIGITS:])]
        return item


STAND_IN_DIGITS = 12


def read_cut(body: bytes, max_outside: int) -> Generator[None, None, Cut]:
    """The value of the body. Yields between steps.

    Raises what ``find_quotes`` raises, and ``orjson.JSONDecodeError`` for what is no JSON in UTF-8.
    """
    quotes = yield from find_quotes(body, max_outside)
    longest_left = min(LONGEST, max(SHORTEST, 2 * LEFT_BYTES // max(len(quotes), 1)))
    parts: list[bytes] = []
    strings: list[LongString] = []
    at = 0
    for index in range(0, len(quotes), 2):
        begin, end = quotes[index] + 1, quotes[index + 1]
        if end - begin <= longest_left:
            continue
        stand_in = f"{len(strings):0{longest_left + 1}d}"
        strings.append((yield from LongString.read(body, begin, end)))
        parts += (body[at:begin], stand_in.encode())
        at = end
    value = orjson.loads(b"".join((*parts, body[at:])) if parts else body)
    return Cut(value, strings, longest_left)
