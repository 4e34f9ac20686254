"""The pictures below ``tests/data/images``, most of them of kinds that Pillow reads and does not write.

``python -m tests.support.images.samples`` writes them again.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.support.images.bombs import bmp, jpeg_with_segment, png_chunk
from tests.support.images.pictures import Kind, animation, encoded, gradient, in_mode
from tests.support.paths import DATA

FOLDER = DATA / "images"

SAMPLES = sorted(FOLDER.iterdir())

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of an interlaced PNG: first column and row, steps between columns and rows."""


def picture_of(path: Path) -> Image.Image:
    """An image in RGB as the originals read it: what is transparent keeps its color."""
    with Image.open(path) as picture:
        picture.load()
        picture.info.pop("transparency", None)
        return picture.convert("RGB")


def scene(width: int, height: int) -> np.ndarray:
    """A gradient with a disc, a frame and letters on it: smooth and sharp parts, and no two corners alike."""
    picture = Image.fromarray(gradient(width, height))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((width // 8, height // 6, width // 2, height * 3 // 4), fill=(230, 40, 30))
    draw.rectangle((width // 2, height // 2, width - 9, height - 9), outline=(20, 20, 160), width=3)
    draw.text((width // 2 + 8, height // 2 + 8), "cpu2vec", fill="white")
    return np.asarray(picture)


def interlaced_png(pixels: np.ndarray) -> bytes:
    """8-bit RGB in Adam7's order, without filters."""
    height, width, _ = pixels.shape
    rows = [
        b"\0" + row.tobytes()
        for left, top, across, down in ADAM7
        for row in pixels[top::down, left::across]
        if row.size
    ]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    chunks = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(b"".join(rows), 9)), png_chunk(b"IEND")]
    return b"".join([b"\x89PNG\r\n\x1a\n", *chunks])


def png_16_bits(pixels: np.ndarray) -> bytes:
    """16-bit RGB without filters, whose lower halves are noise."""
    height, width, _ = pixels.shape
    lower = np.random.default_rng(0).integers(0, 256, pixels.shape, dtype=np.uint16)
    wide = (pixels.astype(">u2") << 8 | lower & 0xF0).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows, 9)), png_chunk(b"IEND")]
    return b"".join([b"\x89PNG\r\n\x1a\n", *chunks])


def rotated_jpeg(pixels: np.ndarray) -> bytes:
    """With an EXIF block that asks viewers to turn it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", exif=exif)
    return file.getvalue()


def run_length_bmp(width: int, height: int) -> bytes:
    """Stripes: a row is two runs."""
    rows = [bytes([width // 2, 20 + row, width - width // 2, 250 - row, 0, 0]) for row in range(height)]
    return bmp(width, height, 1, b"".join(rows) + b"\0\1")


def samples() -> dict[str, bytes]:
    """By name."""
    pixels = scene(120, 90)
    return {
        "baseline.jpg": encoded(pixels, Kind("RGB", "JPEG")),
        "progressive.jpg": encoded(pixels, Kind("RGB", "JPEG", {"progressive": True})),
        "cmyk.jpg": encoded(pixels, Kind("CMYK", "JPEG")),
        "grey.jpg": encoded(pixels, Kind("L", "JPEG")),
        "asks-to-be-turned.jpg": rotated_jpeg(pixels),
        "with-a-comment.jpg": jpeg_with_segment(b"\xff\xfe\0\7hello", 3),
        "interlaced.png": interlaced_png(scene(61, 47)),
        "16-bits.png": png_16_bits(scene(50, 37)),
        "palette.png": encoded(pixels, Kind("P", "PNG", {"transparency": 3})),
        "transparent.png": encoded(pixels, Kind("RGBA", "PNG")),
        "animated.png": animation("PNG", 3),
        "animated.gif": animation("GIF", 3),
        "animated.webp": animation("WEBP", 3),
        "lossy.webp": encoded(pixels, Kind("RGB", "WEBP")),
        "run-length.bmp": run_length_bmp(80, 60),
        "turned.tiff": _turned_tiff(pixels),
    }


def _turned_tiff(pixels: np.ndarray) -> bytes:
    """Says that its rows are columns, which Pillow heeds in this format alone."""
    file = io.BytesIO()
    in_mode(pixels, "RGB").save(file, "TIFF", tiffinfo={274: 6}, compression="tiff_lzw")
    return file.getvalue()


def main(folder: Path = FOLDER) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in samples().items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
