"""Images that verification sends: drawn by a formula, so that a build needs no data and always has the same."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZES = ((224, 224), (320, 240), (240, 320), (97, 61), (400, 150))
"""Widths and heights: what networks read, usual proportions, small, and wide."""

COUNT = 40

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
    return [_encoded(f"golden {format}", drawn_pixels(COUNT + n, 64, 48), format) for n, format in enumerate(FORMATS)]


def _image(number: int) -> HeldoutImage:
    width, height = SIZES[number % len(SIZES)]
    format = FORMATS[number % len(FORMATS)]
    return _encoded(f"image {number + 1}, {width} x {height}, {format}", drawn_pixels(number, width, height), format)


def _encoded(name: str, pixels: NDArray[np.uint8], format: str) -> HeldoutImage:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return HeldoutImage(name, file.getvalue())


def drawn_pixels(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3): a gradient of two colors, discs, and in every third image stripes or noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    angle = random.uniform(0, 2 * np.pi)
    along = (x * np.cos(angle) + y * np.sin(angle))[..., np.newaxis]
    first, second = random.uniform(0, 255, (2, 3))
    picture = first + (second - first) * (along - along.min()) / np.ptp(along)
    for _ in range(random.integers(1, 5)):
        center, radius, color = random.uniform(0, 1, 2), random.uniform(0.05, 0.3), random.uniform(0, 255, 3)
        picture[np.hypot(x - center[0], y - center[1]) < radius] = color
    if seed % 3 == 1:
        picture = picture + 60 * np.sin(along * random.uniform(30, 120))
    if seed % 3 == 2:
        picture = picture + random.normal(0, 40, picture.shape)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)
