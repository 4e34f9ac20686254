"""Images that verification sends: drawn by a formula, so that a build needs no data and always has the same."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from build.clip.drawings import COUNT, drawing, size_of

FORMATS = ("PNG", "JPEG")
"""Of the images that are sent, in turns."""


@dataclass(frozen=True)
class HeldoutImage:
    """An image as it is sent."""

    name: str
    data: bytes
    """A file."""

    @property
    def text(self) -> str:
        """In base64."""
        return base64.b64encode(self.data).decode()

    @property
    def picture(self) -> Image.Image:
        """In RGB, as the original reads it."""
        with Image.open(io.BytesIO(self.data)) as picture:
            return picture.convert("RGB")


def heldout_images() -> list[HeldoutImage]:
    """Gradients with discs, stripes and noise on them. No stage before verification has them."""
    return [_image(number) for number in range(COUNT)]


def golden_images() -> list[HeldoutImage]:
    """Two small ones, one in each format."""
    return [_encoded(f"golden {format}", drawing(COUNT + n, 64, 48), format) for n, format in enumerate(FORMATS)]


def _image(number: int) -> HeldoutImage:
    width, height = size_of(number)
    format = FORMATS[number % len(FORMATS)]
    return _encoded(f"image {number + 1}, {width} x {height}, {format}", drawing(number, width, height), format)


def _encoded(name: str, pixels: NDArray[np.uint8], format: str) -> HeldoutImage:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return HeldoutImage(name, file.getvalue())
