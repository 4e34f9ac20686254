"""WebP: the canvas, in each of the three kinds of file."""

from __future__ import annotations

import struct

from runtime.images.outline import CheckSize, File, Outline
from runtime.images.refusals import Broken, Truncated

NAME = "WebP"

WORKING_BYTES_PER_PIXEL = 16
"""The decoder has two canvases of 4 bytes a pixel, a frame, and a copy of the canvas."""

COPIES = 3
"""The file as it is read, and as the decoder keeps it."""

HEADER_BYTES = 30
LOSSY_START = b"\x9d\x01\x2a"
LOSSLESS_START = 0x2F
SIDE = 0x3FFF
"""The bits of a side, in the kinds without an extended header."""


def is_webp(data: File) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def outline(data: File, check_size: CheckSize) -> Outline:
    """Raises ``BadImage``."""
    if len(data) < HEADER_BYTES:
        raise Truncated(NAME)
    width, height = _canvas(data)
    check_size(width, height)
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise Truncated(NAME)
    return Outline(NAME, width, height, (data,), WORKING_BYTES_PER_PIXEL, COPIES)


def _canvas(data: File) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8 " and data[23:26] == LOSSY_START:
        width, height = struct.unpack_from("<HH", data, 26)
        return width & SIDE, height & SIDE
    if kind == b"VP8L" and data[20] == LOSSLESS_START:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & SIDE) + 1, (bits >> 14 & SIDE) + 1
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    raise Broken(NAME, "it does not begin with a picture's header")
