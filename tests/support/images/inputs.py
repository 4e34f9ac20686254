"""What networks read of an image, for tests."""

from __future__ import annotations

from sections.pixels import PixelInput

HALF = (0.5, 0.5, 0.5)


def cropped(side: int) -> PixelInput:
    """The middle of the image, as CLIP reads it."""
    return PixelInput(side, side, 1 / 255, HALF, HALF)
