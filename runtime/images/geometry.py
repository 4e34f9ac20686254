"""Which part of an image ends up in the square that a network reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

SUPPORT = 2
"""An image that is enlarged takes each pixel from so many on each side, and from that in the middle."""

MAX_ENLARGED = 4096
"""A side that is enlarged beyond this is enlarged in part: 8000 x 3 would become 597333 x 224."""


@dataclass(frozen=True)
class Span:
    """One side of an image: it is resized, and the middle of it is kept."""

    length: int
    resized: int
    kept: int

    @property
    def offset(self) -> int:
        """How much is cut off before the middle, in pixels of the resized side."""
        return (self.resized - self.kept) // 2

    @property
    def is_whole(self) -> bool:
        """Whether all of it is resized."""
        return self.resized <= max(self.length, MAX_ENLARGED)

    @property
    def read(self) -> range:
        """The pixels that are read."""
        if self.is_whole:
            return range(self.length)
        scale = self.length / self.resized
        first, last = int(self.offset * scale), int((self.offset + self.kept) * scale)
        return range(max(0, first - SUPPORT - 1), min(self.length, last + SUPPORT + 2))


class Square(NamedTuple):
    """Both sides of an image."""

    columns: Span
    rows: Span


def square_of(width: int, height: int, short_side: int, side: int) -> Square:
    """The square of ``side`` from the middle, after the shorter side has been resized to ``short_side``."""
    shortest = min(width, height)
    return Square(*(Span(length, short_side * length // shortest, side) for length in (width, height)))
