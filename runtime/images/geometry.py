"""Which part of an image ends up in the square that a network reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sections.pixels import PixelInput

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

    @property
    def rows_first(self) -> bool:
        """Whether rows are resized before columns: each pass rounds to 8 bits, so that the order shows.

        Pillow's rule, found by trying its own ``resize`` beside both orders: rows go first if they are reduced by more
        than twice as many pixels as columns are.
        """
        fewer_rows, fewer_columns = (span.length - span.resized for span in (self.rows, self.columns))
        return fewer_rows > max(0, 2 * fewer_columns)


def square_of(width: int, height: int, wanted: PixelInput) -> Square:
    """The square that ``wanted`` describes: from the middle of the resized image, or all of it."""
    if wanted.stretches:
        return Square(*(Span(length, wanted.side, wanted.side) for length in (width, height)))
    shortest = min(width, height)
    return Square(*(Span(length, wanted.short_side * length // shortest, wanted.side) for length in (width, height)))
