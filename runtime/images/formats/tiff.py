"""TIFF and BigTIFF: the first directory, of which only the entries that pixels depend on stay."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from runtime.images.outline import CheckSize, File, Outline
from runtime.images.refusals import Broken, TooComplex, TooManyPixels, Truncated

NAME = "TIFF"
SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

MAX_ENTRIES = 1024
MAX_VALUES = 262_144
"""Of one entry: 64 megapixels in tiles of 16 x 16 are so many."""

WORKING_BYTES_PER_PIXEL = 16
"""A strip or a tile as it is in the file: up to four channels of 32 bits."""

COPIES = 3
"""The file with its changed directory, as it is read, and as the library gets it."""

WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT = 256, 257, 322, 323
ORIENTATION = 274
NEEDED = frozenset(
    {WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT, ORIENTATION}
    # Bits, compression, color, fill order, offsets, samples, rows, byte counts, planes.
    | {258, 259, 262, 266, 273, 277, 278, 279, 284}
    # Options of compressions, predictor, palette, tiles, extra samples, format of samples, JPEG's tables.
    | {292, 293, 317, 320, 324, 325, 338, 339, 347, *range(512, 522), 529, 530, 531, 532}
)
"""The entries that pixels depend on. Others may point to one another or to the same data, at any length."""

NOTHING = 65_535
"""The number of an entry that nobody reads."""
BYTE = 1

TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}


class _Entry(NamedTuple):
    tag: int
    type: int
    values: int


@dataclass(frozen=True)
class _Form:
    """How numbers are laid out, in the classic form or in the one for large files."""

    first: str
    """Where the first directory begins, and where that number is."""
    first_at: int
    count: str
    entry: str
    entry_bytes: int

    @classmethod
    def of(cls, data: File) -> _Form:
        order = "<" if data[:2] == b"II" else ">"
        if 43 in data[2:4]:
            return cls(f"{order}Q", 8, f"{order}Q", f"{order}HHQ", 20)
        return cls(f"{order}I", 4, f"{order}H", f"{order}HHI", 12)


def outline(data: File, check_size: CheckSize) -> Outline:
    """Raises ``BadImage``."""
    try:
        return _outline(data, check_size)
    except (struct.error, OverflowError):  # a place beyond the file, or beyond what a place can be
        raise Truncated(NAME) from None


def _outline(data: File, check_size: CheckSize) -> Outline:
    form = _Form.of(data)
    (directory,) = struct.unpack_from(form.first, data, form.first_at)
    (count,) = struct.unpack_from(form.count, data, directory)
    if count > MAX_ENTRIES:
        raise TooComplex(NAME, "entries", MAX_ENTRIES)
    at = directory + struct.calcsize(form.count)
    end = at + count * form.entry_bytes
    entries, numbers, used = bytearray(data[at:end]), dict.fromkeys((WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT), 0), 0
    for place in range(at, end, form.entry_bytes):
        entry = _Entry(*struct.unpack_from(form.entry, data, place))
        if entry.tag not in NEEDED:
            struct.pack_into(form.entry, entries, place - at, NOTHING, BYTE, 1)
            continue
        used += _bytes_of(entry)
        if used > len(data):
            raise Broken(NAME, "its entries are larger than the file")
        if entry.tag in numbers and entry.type in NUMBERS:
            (numbers[entry.tag],) = struct.unpack_from(
                form.entry[0] + NUMBERS[entry.type], data, place + struct.calcsize(form.entry)
            )
    width, height = numbers[WIDTH], numbers[HEIGHT]
    check_size(width, height)
    _check_tile(width, height, numbers[TILE_WIDTH], numbers[TILE_HEIGHT])
    parts = (memoryview(data)[:at], bytes(entries), memoryview(data)[end:])
    return Outline(NAME, width, height, parts, WORKING_BYTES_PER_PIXEL, COPIES)


def _bytes_of(entry: _Entry) -> int:
    if entry.values > MAX_VALUES:
        raise TooComplex(NAME, "values in an entry", MAX_VALUES)
    return entry.values * TYPE_BYTES.get(entry.type, 1)


LARGEST_PADDING = 1024
"""A tile may be so much larger than the picture, on either side."""


def _check_tile(width: int, height: int, tile_width: int, tile_height: int) -> None:
    """Tiles are decoded whole, so that one must not be far larger than the picture. Raises ``TooManyPixels``."""
    limit = (width + LARGEST_PADDING) * (height + LARGEST_PADDING)
    if tile_width * tile_height > limit:
        raise TooManyPixels(tile_width, tile_height, limit)
