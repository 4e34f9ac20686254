"""PNG and APNG: the header, and the chunks that pixels depend on."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from runtime.images.outline import CheckSize, File, Outline
from runtime.images.refusals import Broken, TooComplex, Truncated

NAME = "PNG"
SIGNATURE = b"\x89PNG\r\n\x1a\n"

MAX_CHUNKS = 32_768
"""Up to the end of the picture. At 8 KB a chunk, as usual, that is 256 MB."""

HEADER, PALETTE, PIXELS, END = b"IHDR", b"PLTE", b"IDAT", b"IEND"
END_CHUNK = b"\0\0\0\0IEND\xaeB`\x82"

HEADER_LENGTH = 13
FRAMING = 12
"""Bytes of a chunk around its data: length, type, checksum."""


class _Chunk(NamedTuple):
    # PERF: a file may have tens of thousands, and a frozen data class takes longer to make.

    type: bytes
    begin: int
    length: int

    @property
    def end(self) -> int:
        return self.begin + FRAMING + self.length


def outline(data: File, check_size: CheckSize) -> Outline:
    """Raises ``BadImage``. Of an animated file, what the pixels' own chunks have is the first picture."""
    kept = [memoryview(SIGNATURE)]
    width = height = None
    has_pixels = False
    for chunk in _chunks(data):
        if width is None:
            width, height = _size(data, chunk)
            check_size(width, height)
        if chunk.type == PIXELS:
            has_pixels = True
        elif has_pixels:
            break
        if chunk.type in (HEADER, PALETTE, PIXELS):
            if chunk.end > len(data):
                raise Truncated(NAME)
            kept.append(memoryview(data)[chunk.begin : chunk.end])
    if width is None or height is None or not has_pixels:
        raise Broken(NAME, "it has no pixel data")
    return Outline(NAME, width, height, (*kept, END_CHUNK))


def _size(data: File, header: _Chunk) -> tuple[int, int]:
    if header.type != HEADER:
        raise Broken(NAME, "it does not begin with a header")
    if header.end > len(data):
        raise Truncated(NAME)
    if header.length != HEADER_LENGTH:
        raise Broken(NAME, f"its header has {header.length} bytes")
    width, height = struct.unpack_from(">II", data, header.begin + 8)
    return width, height


def _chunks(data: File) -> Iterator[_Chunk]:
    at = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if at + FRAMING > len(data):
            raise Truncated(NAME)
        length, type = struct.unpack_from(">I4s", data, at)
        if type == END:
            return
        chunk = _Chunk(type, at, length)
        yield chunk
        at = chunk.end
    raise TooComplex(NAME, "chunks", MAX_CHUNKS)
