"""Pictures to send: in every mode that files have, of noise, gradients and text, in every format that is read."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIZES = (
    (1, 1),
    (1, 7),
    (7, 1),
    (3, 3),
    (31, 1),
    (223, 225),
    (224, 224),
    (225, 223),
    (333, 251),
    (17, 200),
    (3, 60),
    (200, 3),
)
"""Widths and heights: odd, extreme, and around what a network reads."""

USUAL_SIZES = ((225, 223), (333, 251))


class Kind(NamedTuple):
    """A mode of pixels in a format."""

    mode: str
    format: str
    options: Mapping[str, Any] = MappingProxyType({})

    @property
    def name(self) -> str:
        return "-".join([self.format, self.mode, *self.options]).replace(";", "-")


KINDS = (
    *(Kind(mode, "JPEG") for mode in ("RGB", "L", "CMYK")),
    *(Kind(mode, "JPEG", {"progressive": True}) for mode in ("RGB", "L", "CMYK")),
    Kind("RGB", "JPEG", {"subsampling": 0}),
    *(Kind(mode, "PNG") for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")),
    Kind("P", "PNG", {"transparency": 3}),
    *(Kind(mode, "GIF") for mode in ("P", "L")),
    *(Kind(mode, "WEBP") for mode in ("RGB", "RGBA")),
    Kind("RGB", "WEBP", {"lossless": True}),
    *(Kind(mode, "BMP") for mode in ("RGB", "RGBA", "L", "P", "1")),
    *(Kind(mode, "TIFF") for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16", "I", "F", "CMYK", "YCbCr")),
    *(Kind("RGB", "TIFF", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
)


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """(height, width, 3), in which neighbors have nothing in common."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def gradient(width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3), in which neighbors are alike, so that a shift of a fraction of a pixel changes little."""
    across, down = np.linspace(0, 255, width), np.linspace(0, 255, height)[:, np.newaxis]
    channels = np.broadcast_arrays(across, down, (across + down) / 2)
    return np.stack(channels, axis=2).round().astype(np.uint8)


def text(width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3): black letters on white, which have sharp edges."""
    picture = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(picture).multiline_text((0, 0), "The quick brown fox\njumps over\n1234567890" * 9, fill="black")
    return np.asarray(picture)


PATTERNS = {"noise": noise, "gradient": gradient, "text": text}


def in_mode(pixels: NDArray[np.uint8], mode: str) -> Image.Image:
    """The picture in another mode; in those of more than 8 bits, with values in all of them."""
    picture = Image.fromarray(pixels)
    grey = np.asarray(picture.convert("L"))
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257 - grey % 7)
    if mode == "I":
        return Image.fromarray(grey.astype(np.int32))
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) * 0.99)
    if mode in ("RGBA", "LA"):
        picture = picture.convert(mode)
        picture.putalpha(Image.fromarray(grey[::-1]))
    return picture.convert(mode)


def encoded(pixels: NDArray[np.uint8], kind: Kind) -> bytes:
    """A file of the kind."""
    file = io.BytesIO()
    in_mode(pixels, kind.mode).save(file, kind.format, **kind.options)
    return file.getvalue()


def corpus(kind: Kind) -> Iterator[tuple[str, bytes]]:
    """Files of the kind with their names: noise in every size, and the other patterns in usual ones."""
    for name, pattern in PATTERNS.items():
        for width, height in SIZES if pattern is noise else USUAL_SIZES:
            yield f"{name} {width} x {height}", encoded(pattern(width, height), kind)


def animation(format: str, frames: int, width: int = 40, height: int = 30) -> bytes:
    """An animated file whose frames all differ. Pictures are small, since there may be thousands."""
    pictures = [Image.fromarray(noise(width, height, seed)) for seed in range(frames)]
    file = io.BytesIO()
    pictures[0].save(file, format, save_all=True, append_images=pictures[1:], duration=10, loop=0)
    return file.getvalue()
