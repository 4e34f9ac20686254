"""A long string of a JSON body, read a part at a time."""

from __future__ import annotations

from collections.abc import Iterator

from runtime.literals.contents import Content, Contents, parsed
from runtime.literals.division import part_end

BLOCK = 128 * 1024
"""Bytes of a part."""

SAMPLE = 256
"""Bytes at each of a few places, by which strings are told apart at once."""


class EscapedText:
    """A part of a literal of ASCII in which every escape has two bytes, the first a backslash. Immutable."""

    __slots__ = ("literal",)

    def __init__(self, literal: memoryview) -> None:
        self.literal = literal

    def __str__(self) -> str:
        return "".join(parsed(self.literal.tobytes(), 0, len(self.literal)))


Part = str | memoryview | EscapedText


class LongString:
    """A string that stays where it was sent. Equal ones have the same literal. Immutable."""

    __slots__ = ("_begin", "_body", "_contents", "_end")

    def __init__(self, body: bytes, begin: int, end: int, contents: Contents) -> None:
        """The literal, without its quotes, is ``body[begin:end]``. ``contents``: what the body's blocks have."""
        self._body, self._begin, self._end, self._contents = body, begin, end, contents

    def __len__(self) -> int:
        """Bytes of the literal. The string itself has as many characters at most."""
        return self._end - self._begin

    def blocks(self, size: int = BLOCK) -> Iterator[Part]:
        """The string in order, from at most ``size`` bytes of the literal at a time, of at least 16.

        Parts of ASCII come as views of the body. Raises ``orjson.JSONDecodeError`` for what is no string, which only
        those are that have something wrong.
        """
        for begin, stop, content in self._contents.within(self._begin, self._end):
            at = begin
            while at < stop:
                end = stop if stop - at <= size else part_end(self._body, at, at + size)
                if content == Content.PLAIN:
                    yield memoryview(self._body)[at:end]
                elif content == Content.ESCAPED:
                    yield EscapedText(memoryview(self._body)[at:end])
                elif content == Content.UNESCAPED:
                    yield str(memoryview(self._body)[at:end], "utf-8")
                else:
                    yield from parsed(self._body, at, end)
                at = end

    def text(self) -> str:
        """The string."""
        return "".join(str(part, "ascii") if isinstance(part, memoryview) else str(part) for part in self.blocks())

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
