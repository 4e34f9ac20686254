"""What an image model's network reads: a square of pixels, resized, cropped and normalized."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from sections.base import BundleError, require_positive

CHANNELS = 3
"""Red, green and blue, in this order."""

MAX_SIDE = 4096


class Resample(StrEnum):
    """The filter of resizing."""

    BICUBIC = "bicubic"
    BILINEAR = "bilinear"


@dataclass(frozen=True)
class PixelInput:
    """How an image becomes the network's input, (3, side, side): resized with antialiasing, rounded to 8 bits."""

    short_side: int
    """The image's shorter side is resized to so many pixels, and the longer one in proportion."""
    side: int
    """Of the square that is cropped from the middle."""
    scale: float
    """A value from 0 to 255 is multiplied with it, then ``mean`` is subtracted, and the rest divided by ``std``."""
    mean: tuple[float, ...]
    """One for each channel."""
    std: tuple[float, ...]
    """One for each channel."""
    resample: Resample = Resample.BICUBIC
    stretches: bool = False
    """Whether the longer side is resized to the square's as well, so that nothing is cropped."""

    def check(self, field: str) -> None:
        """Raises ``BundleError`` that names the first field whose value cannot be."""
        require_positive(f"{field}.side", self.side)
        for name, value, most in (("short_side", self.short_side, MAX_SIDE), ("side", self.side, self.short_side)):
            if value > most:
                raise BundleError(f"{field}.{name} must be at most {most}, not {value}")
        if self.stretches and self.short_side != self.side:
            raise BundleError(
                f"{field}.short_side must be {self.side} where images are stretched, not {self.short_side}"
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != CHANNELS:
                raise BundleError(f"{field}.{name} must have {CHANNELS} numbers, not {len(values)}")
        for name, values in (("scale", (self.scale,)), ("mean", self.mean), ("std", self.std)):
            if not all(map(math.isfinite, values)):
                raise BundleError(f"{field}.{name} must be finite")
        if 0 in self.std:
            raise BundleError(f"{field}.std must not be 0")
