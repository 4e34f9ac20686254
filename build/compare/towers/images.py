"""The images on which two containers are compared: those of a directory, or drawings of this project's own."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from build.clip.drawings import COUNT, drawing, size_of
from build.errors import NoImages

MIN_IMAGES = 2
"""A comparison needs this many images, because a single one has no neighbor."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Files with other names are no images."""

LARGEST_BYTES = 48 << 20
"""Of a file: with base64 it just fits into a body of 64 MiB, the most that these servers read by default."""


@dataclass(frozen=True)
class OwnImage:
    """An image that is read when it is sent: there may be more of them than fit into memory."""

    name: str
    read: Callable[[], bytes]
    """The file's bytes. Raises ``NoImages``."""

    @property
    def base64(self) -> str:
        """As it is sent. Raises ``NoImages``."""
        return base64.b64encode(self.read()).decode()


@dataclass(frozen=True)
class OwnImages:
    """The different images of a directory, or the drawings."""

    images: tuple[OwnImage, ...]
    """No two of them are equal."""
    repeated: int
    """The number of files that were left out, since equal images are only each other's neighbors."""
    source: str
    """Where they are from, as reports say it."""


def own_images(directory: Path | None) -> OwnImages:
    """The images of a directory, by their names; None: the drawings. Raises ``NoImages``."""
    if directory is None:
        drawings = tuple(OwnImage(f"drawing {number + 1}", partial(_drawn, number)) for number in range(COUNT))
        return OwnImages(drawings, 0, "drawn by this project")
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise NoImages(f"{directory} cannot be read: {error.strerror}") from None
    different = {hashlib.sha256(_read(path)).digest(): path for path in reversed(paths)}
    if len(different) < MIN_IMAGES:
        raise NoImages(
            f"{directory} must have at least {MIN_IMAGES} different images ({', '.join(SUFFIXES)}), "
            f"not {len(different)}"
        )
    images = tuple(OwnImage(path.name, partial(_read, path)) for path in reversed(different.values()))
    return OwnImages(images, len(paths) - len(images), f"of {directory}")


def _read(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise NoImages(f"{path} has {size} bytes; an image may have {LARGEST_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise NoImages(f"{path} cannot be read: {error.strerror}") from None


def _drawn(number: int) -> bytes:
    return png_of(drawing(number, *size_of(number)))


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of (height, width, 3), without filters: no more than a comparison in any Python needs."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
