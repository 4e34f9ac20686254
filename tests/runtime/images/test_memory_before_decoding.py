"""What is refused before it is decoded takes little memory besides its own bytes, whatever its size."""

from __future__ import annotations

import base64
import struct
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from runtime.images.preprocess import Preprocessor
from runtime.images.refusals import BadImage, NotAnImage, NotBase64, TooComplex, TooManyPixels, Truncated
from runtime.images.sniff import read_outline
from tests.support.images import bombs
from tests.support.images.inputs import cropped

SIZE = 4 << 20
"""Bytes of each file."""

LITTLE = 256 * 1024

LIMIT = 64_000_000
JUNK = np.random.default_rng(1).bytes(SIZE)


def padded(data: bytes) -> bytes:
    return data + JUNK[len(data) :]


LARGE: dict[str, tuple[Callable[[], bytes], type[BadImage]]] = {
    "png": (lambda: bombs.png(9000, 9000, bombs.png_chunk(b"IDAT", JUNK)), TooManyPixels),
    "png, cut": (lambda: bombs.png(90, 90, bombs.png_chunk(b"IDAT", JUNK))[:-99], Truncated),
    "jpeg": (lambda: padded(bombs.jpeg_header(65_500, 65_500)), TooManyPixels),
    "jpeg, scans": (lambda: padded(bombs.jpeg_with_scans(65)), TooComplex),
    "jpeg, tables": (
        lambda: padded(bombs.jpeg_header(9000, 9000, (b"\xff\xc4\xff\xff" + JUNK[: 0xFFFF - 2]) * 60)),
        TooManyPixels,
    ),
    "gif": (lambda: padded(bombs.gif(65_535, 65_535, b"", 1, 1)), TooManyPixels),
    "webp": (lambda: padded(bombs.webp_canvas(1 << 14, 1 << 14)), TooManyPixels),
    "webp, cut": (lambda: b"RIFF" + struct.pack("<I", SIZE + 9) + padded(bombs.webp_canvas(90, 90)[8:]), Truncated),
    "tiff": (lambda: padded(bombs.tiff_grey(50_000, 50_000)), TooManyPixels),
    "bmp": (lambda: padded(bombs.bmp(50_000, 50_000)), TooManyPixels),
}


def taken(read: Callable[[], object], expected: type[BadImage]) -> int:
    """The most bytes at a time."""
    tracemalloc.start()
    try:
        with pytest.raises(expected):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", LARGE)
def test_a_file_is_not_copied_before_it_is_known_to_be_decoded(name: str):
    make, expected = LARGE[name]
    data = make()
    assert len(data) >= SIZE - 99
    assert taken(lambda: read_outline(data, LIMIT), expected) < LITTLE


@pytest.mark.parametrize("name", LARGE)
def test_a_request_has_its_file_once_beside_its_text(name: str):
    make, expected = LARGE[name]
    data = make()
    text = base64.b64encode(data).decode()
    # The file grows by eighths while it is decoded.
    assert taken(lambda: Preprocessor(cropped(224), LIMIT).outline(text), expected) < len(data) * 9 // 8 + 4 * LITTLE


SIZE_FIRST = [name for name, (_, expected) in LARGE.items() if expected is TooManyPixels and name != "jpeg, tables"]


@pytest.mark.parametrize("name", [*SIZE_FIRST, "jpeg, scans"])
def test_of_what_its_beginning_condemns_only_the_beginning_is_decoded(name: str):
    make, expected = LARGE[name]
    text = base64.b64encode(make()).decode()
    assert taken(lambda: Preprocessor(cropped(224), LIMIT).outline(text), expected) < 8 * LITTLE


@pytest.mark.parametrize(
    ("beginning", "expected"), [("aGVs" * 400, NotAnImage), ("%PDF-1.7", NotBase64), ("JVBERi0xLjcg" * 400, NotAnImage)]
)
def test_of_what_is_no_image_only_the_beginning_is_decoded(beginning: str, expected: type[BadImage]):
    text = beginning + base64.b64encode(JUNK).decode()
    assert taken(lambda: Preprocessor(cropped(224), LIMIT).outline(text), expected) < 8 * LITTLE


def test_line_ends_cost_no_copy_of_the_whole_text():
    data = LARGE["png"][0]()
    text = base64.encodebytes(data).decode()
    bound = len(data) * 9 // 8 + 8 * LITTLE
    assert taken(lambda: Preprocessor(cropped(224), LIMIT).outline(text), TooManyPixels) < bound
