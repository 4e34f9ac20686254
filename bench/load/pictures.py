"""Makes the images that are sent: JPEGs, all distinct as files, and the same ones for the same seed.

numpy and Pillow are imported once a picture is drawn, so that the load generator of texts starts fast and stays small.
"""

from __future__ import annotations

import io
import itertools
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

QUALITY = 85
GRAIN = 16
"""Each value is up to so much off, as those of a camera are: without it, a large file would be a tenth as large."""

DRAWN = (320, 240)
"""Larger pictures are enlarged drawings, because drawing millions of pixels takes seconds."""


@dataclass(frozen=True)
class Size:
    """Of the pictures of a load."""

    width: int
    height: int
    different: int
    """So many pictures are drawn. Files differ in a comment besides, which no decoder reads."""


USUAL = Size(640, 480, 8)
TWELVE_MEGAPIXELS = Size(4000, 3000, 2)


def endless_jpegs(size: Size, seed: str) -> Iterator[bytes]:
    """Files of pictures of that size, without end."""
    first = random.Random(seed).randrange(1 << 30)
    files = [jpeg(size.width, size.height, first + number) for number in range(size.different)]
    for number, file in enumerate(itertools.cycle(files)):
        yield with_comment(file, f"{seed} {number}".encode())


def jpeg(width: int, height: int, seed: int) -> bytes:
    """A gradient with discs, and grain on it."""
    import numpy as np
    from PIL import Image

    from build.clip.drawings import drawing

    picture = Image.fromarray(drawing(seed, *DRAWN)).resize((width, height), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(seed).integers(-GRAIN, GRAIN + 1, (height, width, 3), dtype=np.int8)
    pixels = np.clip(np.asarray(picture, dtype=np.int16) + grain, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def with_comment(file: bytes, comment: bytes) -> bytes:
    """The same picture in another file: a comment of up to 65,533 bytes after its first two."""
    return file[:2] + struct.pack(">2sH", b"\xff\xfe", len(comment) + 2) + comment + file[2:]
