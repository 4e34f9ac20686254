"""Which format a file has, by its first bytes, and its outline."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from runtime.images.formats import bmp, gif, jpeg, png, tiff, webp
from runtime.images.outline import CheckSize, File, Outline, check_size
from runtime.images.refusals import Broken, NotAnImage, Truncated


class Format(NamedTuple):
    """A format that is read."""

    recognizes: Callable[[bytes], bool]
    """By its first ``FIRST_BYTES``."""
    outline: Callable[[File, CheckSize], Outline]


FORMATS = (
    Format(lambda data: data.startswith(jpeg.SIGNATURE), jpeg.outline),
    Format(lambda data: data.startswith(png.SIGNATURE), png.outline),
    Format(webp.is_webp, webp.outline),
    Format(lambda data: data.startswith(gif.SIGNATURES), gif.outline),
    Format(lambda data: data.startswith(bmp.SIGNATURE), bmp.outline),
    Format(lambda data: data.startswith(tiff.SIGNATURES), tiff.outline),
)

READABLE = "a JPEG, PNG, WebP, GIF, BMP or TIFF"

OTHERS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("an SVG, which has no pixels", lambda data: b"<svg" in data.lower()),
    ("a PDF", lambda data: data.startswith(b"%PDF")),
    ("an AVIF", lambda data: data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis")),
    ("an HEIC", lambda data: data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")),
    ("a JPEG 2000", lambda data: data.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "))),
    ("a JPEG XL", lambda data: data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL "))),
    ("an icon", lambda data: data.startswith(b"\0\0\1\0")),
    ("a page of HTML", lambda data: b"<html" in data.lower()),
    ("empty", lambda data: not data),
)
"""What else people send, by the first bytes."""

FIRST_BYTES = 1024


def read_outline(data: File, max_pixels: int) -> Outline:
    """The first picture's outline, of at most ``max_pixels``. Decodes nothing. Raises ``BadImage``."""
    return format_of(data).outline(data, partial(check_size, max_pixels))


def check_beginning(data: File, max_pixels: int) -> None:
    """Refuse a file of which ``data`` is the beginning, ``FIRST_BYTES`` at least, if it shows that already.

    Raises ``BadImage``.
    """
    # What is missing may mend these.
    with suppress(Truncated, Broken):
        read_outline(data, max_pixels)


def format_of(data: File) -> Format:
    """Needs no more than the first ``FIRST_BYTES``. Raises ``NotAnImage``."""
    first = bytes(data[:FIRST_BYTES])
    for format in FORMATS:
        if format.recognizes(first):
            return format
    raise NotAnImage(next((name for name, recognizes in OTHERS if recognizes(first)), None), READABLE)
