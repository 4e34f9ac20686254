"""A long string of a JSON body, read a block at a time."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

import numpy as np
import orjson

BLOCK = 128 * 1024
"""Bytes of a step."""

SAMPLE = 256
"""Bytes at each of a few places, by which strings are told apart at once."""

HIGH_SURROGATE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")
LONGEST_ESCAPE = 6


class LongString:
    """A string that stays where it was sent. Equal ones have the same literal. Immutable."""

    __slots__ = ("_begin", "_body", "_end", "_is_plain")

    def __init__(self, body: bytes, begin: int, end: int, is_plain: bool) -> None:
        """The literal, without its quotes, is ``body[begin:end]``. ``is_plain``: it is ASCII, and escapes nothing."""
        self._body, self._begin, self._end, self._is_plain = body, begin, end, is_plain

    @classmethod
    def read(cls, body: bytes, begin: int, end: int, block: int = BLOCK) -> Generator[None, None, LongString]:
        """The string, checked. Yields between steps. Raises ``orjson.JSONDecodeError`` for what is none of JSON."""
        for start in range(begin, end, block):
            if not _is_plain(body, start, min(start + block, end)):
                break
            yield
        else:
            return cls(body, begin, end, True)
        string = cls(body, begin, end, False)
        for _ in string.blocks(block):
            yield
        return string

    def __len__(self) -> int:
        """Bytes of the literal. The string itself has as many characters at most."""
        return self._end - self._begin

    def blocks(self, size: int = BLOCK) -> Iterator[str | memoryview]:
        """The string in order, from at most ``size`` bytes of the literal at a time, of at least 16.

        Strings of ASCII come as views of the body.
        """
        at = self._begin
        while at < self._end:
            stop = min(at + size, self._end)
            if self._is_plain:
                yield memoryview(self._body)[at:stop]
            else:
                stop = stop if stop == self._end else _boundary(self._body, at, stop)
                yield orjson.loads(b'"%b"' % self._body[at:stop])
            at = stop

    def text(self) -> str:
        """The string."""
        return "".join(part if isinstance(part, str) else str(part, "ascii") for part in self.blocks())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LongString):
            return NotImplemented
        if self._body is other._body and self._begin == other._begin and self._end == other._end:
            return True
        return len(self) == len(other) and all(
            self._bytes(at, BLOCK) == other._bytes(at, BLOCK) for at in range(0, len(self), BLOCK)
        )

    def __hash__(self) -> int:
        # PERF: to hash all of it would take tens of milliseconds for the largest ones.
        last = max(0, len(self) - SAMPLE)
        return hash((len(self), *(self._bytes(last * part // 4, SAMPLE) for part in range(5))))

    def _bytes(self, at: int, size: int) -> bytes:
        begin = self._begin + at
        return self._body[begin : min(begin + size, self._end)]


def _is_plain(body: bytes, begin: int, end: int) -> bool:
    values = np.frombuffer(body, np.uint8, end - begin, begin)
    return bool(values.min() >= 0x20 and values.max() < 0x80) and body.find(b"\\", begin, end) < 0


def _boundary(body: bytes, begin: int, end: int) -> int:
    """Where the literal can be divided, at ``end`` or a few bytes before: within no character, escape or pair of them.

    ``begin`` is such a place.
    """
    # What is left of the backslashes are beginnings of escapes.
    part = body[begin:end].replace(rb"\\", b"__")
    last = part.rfind(b"\\", max(0, len(part) - LONGEST_ESCAPE))
    if last >= 0:
        before = last - LONGEST_ESCAPE
        return begin + (before if before >= 0 and HIGH_SURROGATE.fullmatch(part, before, last) else last)
    while end > begin + 1 and body[end] & 0xC0 == 0x80:
        end -= 1
    return end
