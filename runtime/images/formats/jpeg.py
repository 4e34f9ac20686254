"""JPEG: the frame's header, and the number of its scans."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from runtime.images.outline import CheckSize, File, Outline
from runtime.images.refusals import Broken, TooComplex, Truncated

NAME = "JPEG"
SIGNATURE = b"\xff\xd8\xff"

MAX_SEGMENTS = 4096
"""Before the picture. A photo with all that cameras and editors add to it has some hundred."""

MAX_SCANS = 64
"""Progressive files have about ten. Each passes over all pixels, however few bytes it has."""

COEFFICIENT_BYTES = 2

BLOCK = 64 * 1024
"""Bytes in which scans are counted at a time."""

MARKER = 0xFF
START_OF_SCAN = 0xDA
END = 0xD9
STANDALONE = {0x01, *range(0xD0, 0xD9)}
START_OF_FRAME = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
SEQUENTIAL = {0xC0, 0xC1}
JFIF, ADOBE, COMMENT = 0xE0, 0xEE, 0xFE
METADATA = {*range(0xE0, 0xF0), COMMENT} - {JFIF, ADOBE}
"""Segments that do not change a pixel, left out: EXIF, profiles, thumbnails, comments. The two others tell colors."""


@dataclass(frozen=True)
class _Frame:
    width: int
    height: int
    components: int
    is_sequential: bool


def outline(data: File, check_size: CheckSize) -> Outline:
    """Raises ``BadImage``."""
    try:
        frame, kept, scans_at = _header(data, check_size)
    except (struct.error, IndexError):
        raise Truncated(NAME) from None
    scans = _scans(data, scans_at)
    # All coefficients are in memory until the last scan, if there are several.
    at_once = frame.is_sequential and scans == 1
    working = 0 if at_once else COEFFICIENT_BYTES * frame.components
    parts: tuple[File, ...] = (SIGNATURE[:2], *kept, memoryview(data)[scans_at:])
    return Outline(NAME, frame.width, frame.height, parts, working)


def _scans(data: File, begin: int) -> int:
    """Raises ``TooComplex`` for more than ``MAX_SCANS``."""
    # Within a scan's data, 0xFF is followed by 0 or by a restart's marker, so that this counts scans alone.
    # PERF: numpy does it without the interpreter's lock.
    values, scans = np.frombuffer(data, np.uint8, offset=begin), 0
    for at in range(0, len(values), BLOCK):
        part = values[at : at + BLOCK + 1]
        scans += int(np.count_nonzero((part[:-1] == MARKER) & (part[1:] == START_OF_SCAN)))
        if scans > MAX_SCANS:
            raise TooComplex(NAME, "scans", MAX_SCANS)
    return scans


def _header(data: File, check_size: CheckSize) -> tuple[_Frame, list[memoryview], int]:
    """The frame's header, the segments that matter, and where the first scan begins."""
    frame, at = None, 2
    kept: list[memoryview] = []
    for _ in range(MAX_SEGMENTS):
        if data[at] != MARKER:
            raise Broken(NAME, f"there is no marker at byte {at}")
        while data[at + 1] == MARKER:  # filling
            at += 1
        marker = data[at + 1]
        if marker == START_OF_SCAN:
            if frame is None:
                raise Broken(NAME, "a scan comes before the frame's header")
            return frame, kept, at
        if marker == END:
            raise Broken(NAME, "it ends without a scan")
        if marker in STANDALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in START_OF_FRAME:
            height, width, components = struct.unpack_from(">HHB", data, at + 5)
            check_size(width, height)
            frame = _Frame(width, height, components, marker in SEQUENTIAL)
        if marker not in METADATA:
            kept.append(memoryview(data)[at : at + 2 + length])
        at += 2 + length
    raise TooComplex(NAME, "segments before its picture", MAX_SEGMENTS)
