"""What is known of an image before it is decoded."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from runtime.images.refusals import NoPixels, TooManyPixels

File = bytes | memoryview
"""A file in memory."""

BYTES_PER_PIXEL = 4
"""Of a decoded picture of any kind, at most: a pixel with its padding."""

BYTES_PER_ROW = 32
"""Around a row of each of the two pictures that there are at a time: a pointer, and what fills the row up."""


MOST_BYTES_PER_PIXEL = 6 * BYTES_PER_PIXEL
"""That decoding and what follows take in the costliest format, for each pixel of usual proportions."""


BLOCK = 1 << 20
"""Bytes that are copied at a time."""


@dataclass(frozen=True)
class Outline:
    """A file's first picture."""

    format: str
    """As people write it, such as PNG."""
    width: int
    height: int
    parts: tuple[File, ...]
    """Of the file, what the decoder needs, in order. They are joined once there is memory for it."""
    working_bytes_per_pixel: int = 0
    """What the decoder takes besides the decoded picture."""
    copies: int = 1
    """How often the decoder has ``data`` in memory, at most, besides the file."""

    @property
    def data(self) -> bytes:
        """A copy of all parts."""
        if len(self.parts) == 1 and isinstance(self.parts[0], bytes):
            return self.parts[0]
        # PERF: in blocks, between which other threads have the interpreter.
        file = io.BytesIO()
        for part in self.parts:
            for at in range(0, len(part), BLOCK):
                file.write(part[at : at + BLOCK])
        return file.getvalue()

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def memory(self) -> int:
        """The most bytes that decoding takes besides the file itself, and the conversion to RGB after it."""
        working = max(self.working_bytes_per_pixel, BYTES_PER_PIXEL)
        per_pixel = (BYTES_PER_PIXEL + working) * self.pixels
        return per_pixel + BYTES_PER_ROW * self.height + self.copies * sum(map(len, self.parts))


CheckSize = Callable[[int, int], None]
"""Takes width and height as soon as they are known. Raises ``NoPixels`` or ``TooManyPixels``."""


def check_size(max_pixels: int, width: int, height: int) -> None:
    """Implements ``CheckSize`` for a limit."""
    if width < 1 or height < 1:
        raise NoPixels(width, height)
    if width * height > max_pixels:
        raise TooManyPixels(width, height, max_pixels)
