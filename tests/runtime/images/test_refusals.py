"""Each way in which an image can be bad has its own refusal, before anything is decoded where that is possible."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime.images.decoder import decode
from runtime.images.formats import bmp, gif, jpeg, png, tiff
from runtime.images.refusals import (
    BadImage,
    Broken,
    NoPixels,
    NotAnImage,
    TooComplex,
    TooManyPixels,
    Truncated,
)
from runtime.images.sniff import FIRST_BYTES, READABLE, check_beginning, read_outline
from tests.support.images import bombs
from tests.support.images.inputs import cropped
from tests.support.images.pictures import Kind, encoded, noise
from tests.support.images.samples import SAMPLES
from tests.support.paths import ROOT

LIMIT = 64_000_000
SQUARE = cropped(224)

PNG = encoded(noise(9, 9), Kind("RGB", "PNG"))
JPEG = encoded(noise(9, 9), Kind("RGB", "JPEG"))
WEBP = encoded(noise(9, 9), Kind("RGB", "WEBP"))

BEFORE_DECODING: dict[str, tuple[Callable[[], bytes], BadImage]] = {
    "nothing": (lambda: b"", NotAnImage("empty", READABLE)),
    "plain text": (lambda: b"not an image", NotAnImage(None, READABLE)),
    "svg": (lambda: b'<?xml version="1.0"?>\n<SVG/>', NotAnImage("an SVG, which has no pixels", READABLE)),
    "pdf": (lambda: b"%PDF-1.7", NotAnImage("a PDF", READABLE)),
    "html": (lambda: b"<!doctype html><html>", NotAnImage("a page of HTML", READABLE)),
    "avif": (lambda: b"\0\0\0\x20ftypavif", NotAnImage("an AVIF", READABLE)),
    "heic": (lambda: b"\0\0\0\x20ftypheic", NotAnImage("an HEIC", READABLE)),
    "jpeg 2000": (lambda: b"\xff\x4f\xff\x51", NotAnImage("a JPEG 2000", READABLE)),
    "jpeg xl": (lambda: b"\xff\x0a", NotAnImage("a JPEG XL", READABLE)),
    "icon": (lambda: b"\0\0\1\0\1\0", NotAnImage("an icon", READABLE)),
    # PNG
    "png: without pixels": (lambda: bombs.png(50, 50), Broken("PNG", "it has no pixel data")),
    "png: huge": (lambda: bombs.png(50_000, 50_000), TooManyPixels(50_000, 50_000, LIMIT)),
    "png: huge, with pixels": (
        lambda: bombs.png(50_000, 50_000, bombs.png_chunk(b"IDAT", zlib.compress(bytes(1000)))),
        TooManyPixels(50_000, 50_000, LIMIT),
    ),
    "png: no width": (lambda: bombs.png(0, 9, bombs.png_chunk(b"IDAT")), NoPixels(0, 9)),
    "png: no header": (
        lambda: PNG[:8] + bombs.png_chunk(b"PLTE", bytes(3)),
        Broken("PNG", "it does not begin with a header"),
    ),
    "png: chunks": (
        lambda: bombs.png_with(bombs.png_chunk(b"tEXt"), png.MAX_CHUNKS),
        TooComplex("PNG", "chunks", png.MAX_CHUNKS),
    ),
    "png: cut in its pixels": (lambda: PNG[:60], Truncated("PNG")),
    "png: cut in its header": (lambda: PNG[:20], Truncated("PNG")),
    "png: a short header": (
        lambda: PNG[:8] + bombs.png_chunk(b"IHDR", bytes(5)),
        Broken("PNG", "its header has 5 bytes"),
    ),
    "png: signature alone": (lambda: PNG[:8], Truncated("PNG")),
    # JPEG
    "jpeg: huge": (lambda: bombs.jpeg_header(65_500, 65_500), TooManyPixels(65_500, 65_500, LIMIT)),
    "jpeg: no height": (lambda: bombs.jpeg_header(9, 0), NoPixels(9, 0)),
    "jpeg: segments": (
        lambda: bombs.jpeg_with_segment(b"\xff\xfe\0\2", jpeg.MAX_SEGMENTS),
        TooComplex("JPEG", "segments before its picture", jpeg.MAX_SEGMENTS),
    ),
    "jpeg: scans": (lambda: bombs.jpeg_with_scans(jpeg.MAX_SCANS + 1), TooComplex("JPEG", "scans", jpeg.MAX_SCANS)),
    "jpeg: cut in its head": (lambda: JPEG[:30], Truncated("JPEG")),
    "jpeg: signature alone": (lambda: JPEG[:3], Truncated("JPEG")),
    "jpeg: no marker": (
        lambda: JPEG[:2] + b"\xff\xfe\0\3x" + b"oops",
        Broken("JPEG", "there is no marker at byte 7"),
    ),
    "jpeg: no scan": (lambda: b"\xff\xd8\xff\xfe\0\2\xff\xd9", Broken("JPEG", "it ends without a scan")),
    "jpeg: no frame": (
        lambda: b"\xff\xd8\xff\xda\0\x0c" + bytes(20),
        Broken("JPEG", "a scan comes before the frame's header"),
    ),
    # GIF
    "gif: huge": (lambda: bombs.gif(65_535, 65_535, b"", 1, 1), TooManyPixels(65_535, 65_535, LIMIT)),
    "gif: a frame beyond the canvas": (
        lambda: bombs.gif(1, 1, b"", 65_535, 65_535),
        TooManyPixels(65_535, 65_535, LIMIT),
    ),
    "gif: nothing": (lambda: bombs.gif(0, 0, b"", 0, 0), NoPixels(0, 0)),
    "gif: comments": (
        lambda: bombs.gif(9, 9, bombs.gif_comment(gif.MAX_BLOCKS + 1), 9, 9),
        TooComplex("GIF", "blocks before its first frame", gif.MAX_BLOCKS),
    ),
    "gif: padding": (
        lambda: bombs.gif(9, 9, bytes(gif.MAX_BLOCKS + 1), 9, 9),
        TooComplex("GIF", "blocks before its first frame", gif.MAX_BLOCKS),
    ),
    "gif: no frame": (lambda: b"GIF89a" + bytes(7) + b"\x3b", Broken("GIF", "it has no frame")),
    "gif: cut in a comment": (lambda: b"GIF89a" + bytes(7) + b"\x21\xfe\xff", Truncated("GIF")),
    "gif: signature alone": (lambda: b"GIF87a", Truncated("GIF")),
    # WebP
    "webp: huge": (lambda: bombs.webp_canvas(1 << 14, 1 << 14), TooManyPixels(1 << 14, 1 << 14, LIMIT)),
    "webp: cut": (lambda: WEBP[:-1], Truncated("WebP")),
    "webp: cut in its head": (lambda: WEBP[:20], Truncated("WebP")),
    "webp: no picture": (
        lambda: b"RIFF" + struct.pack("<I", 40) + b"WEBPANIM" + bytes(40),
        Broken("WebP", "it does not begin with a picture's header"),
    ),
    # BMP
    "bmp: huge": (lambda: bombs.bmp(50_000, -50_000), TooManyPixels(50_000, 50_000, LIMIT)),
    "bmp: no width": (lambda: bombs.bmp(0, 5), NoPixels(0, 5)),
    "bmp: runs over many pixels": (
        lambda: bombs.bmp(3000, 3000, 1),
        TooComplex("BMP", "pixels or bytes in run-length encoding", bmp.MAX_RUN_LENGTH),
    ),
    "bmp: runs of nothing": (
        lambda: bombs.bmp(3, 3, 2, bytes(bmp.MAX_RUN_LENGTH)),
        TooComplex("BMP", "pixels or bytes in run-length encoding", bmp.MAX_RUN_LENGTH),
    ),
    "bmp: unknown header": (
        lambda: b"BM" + bytes(12) + struct.pack("<I", 99) + bytes(99),
        Broken("BMP", "a header of 99 bytes is not known"),
    ),
    "bmp: signature alone": (lambda: b"BM", Truncated("BMP")),
    # TIFF
    "tiff: huge": (lambda: bombs.tiff_grey(50_000, 50_000), TooManyPixels(50_000, 50_000, LIMIT)),
    "tiff: huge, large form": (
        lambda: bombs.tiff_grey(50_000, 50_000, large=True),
        TooManyPixels(50_000, 50_000, LIMIT),
    ),
    "tiff: no entries": (lambda: bombs.tiff([]), NoPixels(0, 0)),
    "tiff: entries": (
        lambda: bombs.tiff([(40_000, bombs.LONG, 1, 0)] * (tiff.MAX_ENTRIES + 1)),
        TooComplex("TIFF", "entries", tiff.MAX_ENTRIES),
    ),
    "tiff: a huge tile": (
        lambda: bombs.tiff_grey(9, 9, (322, bombs.LONG, 1, 60_000), (323, bombs.LONG, 1, 60_000)),
        TooManyPixels(60_000, 60_000, (9 + 1024) ** 2),
    ),
    "tiff: many strips": (
        lambda: bombs.tiff_grey(9, 9, (324, bombs.LONG, 1 << 30, 8)),
        TooComplex("TIFF", "values in an entry", tiff.MAX_VALUES),
    ),
    "tiff: entries over the same data": (
        lambda: bombs.tiff_grey(9, 9, (320, bombs.SHORT, 1000, 8)),
        Broken("TIFF", "its entries are larger than the file"),
    ),
    "tiff: no directory": (lambda: b"II*\0" + struct.pack("<I", 1 << 31), Truncated("TIFF")),
    "tiff: a directory beyond all files": (
        lambda: b"II+\0\x08\0\0\0" + struct.pack("<Q", (1 << 64) - 1),
        Truncated("TIFF"),
    ),
    "tiff: signature alone": (lambda: b"MM\0*", Truncated("TIFF")),
}

WHILE_DECODING: dict[str, tuple[Callable[[], bytes], type[BadImage]]] = {
    "png: too few rows": (
        lambda: bombs.png(50, 50, bombs.png_chunk(b"IDAT", zlib.compress(bytes(500)))),
        Truncated,
    ),
    "png: not compressed": (lambda: bombs.png(5, 5, bombs.png_chunk(b"IDAT", b"what is this")), Broken),
    "jpeg: half of it": (lambda: JPEG[: -len(JPEG) // 4], Truncated),
    "jpeg: a scan without tables": (lambda: bombs.jpeg_header(9, 9), Broken),
    "gif: no data": (lambda: bombs.gif(9, 9, b"", 9, 9), Truncated),
    "webp: a canvas without a picture": (lambda: bombs.webp_canvas(9, 9), Broken),
    "bmp: no data": (lambda: bombs.bmp(9, 9), Truncated),
    "bmp: runs end too early": (lambda: bombs.bmp(9, 9, 1, b"\x05\x05\0\1"), Truncated),
}


def refusal_of(data: bytes) -> BadImage:
    with pytest.raises(BadImage) as refusal:
        decode(read_outline(data, LIMIT), SQUARE)
    return refusal.value


@pytest.mark.parametrize("name", BEFORE_DECODING)
def test_what_is_known_before_decoding_is_refused_before_it(name: str):
    make, expected = BEFORE_DECODING[name]
    with pytest.raises(BadImage) as refusal:
        read_outline(make(), LIMIT)
    assert refusal.value == expected
    assert str(refusal.value).startswith(("is ", "has ", "must "))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_the_beginning_of_a_good_file_condemns_nothing(path: Path):
    data = path.read_bytes()
    for size in range(FIRST_BYTES, len(data), 97):
        check_beginning(data[:size], LIMIT)
    check_beginning(data, LIMIT)


@pytest.mark.parametrize("name", BEFORE_DECODING)
def test_what_a_beginning_is_refused_for_is_what_the_whole_is_refused_for(name: str):
    make, expected = BEFORE_DECODING[name]
    data = make()
    for size in {min(FIRST_BYTES << shift, len(data)) for shift in range(24)}:
        assert refusal_by_its_beginning(data[:size]) in (None, expected)


def refusal_by_its_beginning(data: bytes) -> BadImage | None:
    try:
        check_beginning(data, LIMIT)
    except BadImage as refusal:
        return refusal
    return None


@pytest.mark.parametrize("name", WHILE_DECODING)
def test_what_decoding_finds_out_is_refused_then(name: str):
    make, expected = WHILE_DECODING[name]
    refusal = refusal_of(make())
    assert type(refusal) is expected
    assert str(refusal).startswith("is a ")


def test_one_pixel_more_than_the_limit_is_too_many():
    assert read_outline(encoded(noise(9, 9), Kind("RGB", "PNG")), 81).pixels == 81
    with pytest.raises(TooManyPixels) as refusal:
        read_outline(encoded(noise(82, 1), Kind("RGB", "PNG")), 81)
    assert str(refusal.value) == "has 82 x 1 pixels, more than 81, the limit of this server (MAX_IMAGE_PIXELS)"


@pytest.mark.parametrize(
    "data",
    [
        bombs.png_with(bombs.png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(80 << 20), 9)), 3),
        bombs.png_with(bombs.png_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(80 << 20), 9))),
        bombs.png_with(bombs.png_chunk(b"tEXt", b"k\0v"), 10_000),
    ],
    ids=["text", "profile", "chunks"],
)
def test_what_does_not_change_pixels_is_not_read(data: bytes):
    expected = decode(read_outline(PNG, LIMIT), SQUARE)
    np.testing.assert_array_equal(decode(read_outline(data, LIMIT), SQUARE), expected)
    assert len(read_outline(data, LIMIT).data) <= len(PNG)


def test_exif_in_a_jpeg_is_not_read():
    segment = b"\xff\xe1\xff\xff" + b"Exif\0\0" + bytes(0xFFFF - 8)
    data = bombs.jpeg_with_segment(segment, 300)
    np.testing.assert_array_equal(decode(read_outline(data, LIMIT), SQUARE), decode(read_outline(JPEG, LIMIT), SQUARE))
    assert len(read_outline(data, LIMIT).data) <= len(JPEG)


def test_a_tiffs_other_entries_are_not_read():
    """Each says that all of the file is its own; Pillow would copy it for each of them."""
    pointers = [(tag, 1, 4000, 8) for tag in range(60_000, 60_500)]
    exif = [(34_665, bombs.LONG, 1, 8)]
    plain, other = (bombs.tiff_grey(60, 60, *more) for more in ([], pointers + exif))
    np.testing.assert_array_equal(
        decode(read_outline(other, LIMIT), SQUARE), decode(read_outline(plain, LIMIT), SQUARE)
    )


PROGRAM = """
import resource
import runtime.images.decoder
from runtime.images.refusals import BadImage
from runtime.images.sniff import read_outline
from tests.runtime.images.test_refusals import BEFORE_DECODING, LIMIT

files = [make() for make, _ in BEFORE_DECODING.values()]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
for data in files:
    try:
        read_outline(data, LIMIT)
    except BadImage:
        continue
    raise SystemExit("not refused")
print(len(files))
"""


def test_refusals_before_decoding_take_little_memory():
    """In a process that can have no more than 64 MB beyond the files themselves."""
    result = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True)
    assert (result.stderr, result.stdout) == ("", f"{len(BEFORE_DECODING)}\n")
