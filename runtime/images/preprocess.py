"""From the base64 of an image to the network's input, in the two steps between which memory is asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.images.base64_text import Base64, decode_base64
from runtime.images.decoder import decode
from runtime.images.outline import Outline
from runtime.images.sniff import FIRST_BYTES, check_beginning, read_outline
from sections.pixels import PixelInput

Pixels = NDArray[np.float32]


class Preprocessor:
    """Does what the original's image processor does. Thread-safe."""

    def __init__(self, wanted: PixelInput, max_pixels: int) -> None:
        self._wanted, self._max_pixels = wanted, max_pixels
        self._values = _values(wanted)

    def outline(self, image: Base64) -> Outline:
        """What is known before the picture is decoded, from its base64. Raises ``BadImage``."""
        data = decode_base64(image, lambda beginning: check_beginning(beginning, self._max_pixels), FIRST_BYTES)
        return read_outline(data, self._max_pixels)

    def pixels(self, outline: Outline) -> Pixels:
        """The network's input, (3, side, side). Takes ``outline.memory`` meanwhile. Raises ``BadImage``."""
        picture = decode(outline, self._wanted)
        channels = [self._values[channel][picture[:, :, channel]] for channel in range(len(self._values))]
        return np.stack(channels)


def _values(wanted: PixelInput) -> Pixels:
    """What each of the 256 values becomes in each channel, (3, 256), with the roundings of the original."""
    scaled = (np.arange(256, dtype=np.float64) * wanted.scale).astype(np.float32)
    mean, std = (np.asarray(numbers, dtype=np.float32)[:, np.newaxis] for numbers in (wanted.mean, wanted.std))
    return (scaled - mean) / std
