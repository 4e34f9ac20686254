"""GIF: the canvas, and the first frame."""

from __future__ import annotations

import struct

from runtime.images.outline import CheckSize, File, Outline
from runtime.images.refusals import Broken, TooComplex, Truncated

NAME = "GIF"
SIGNATURES = (b"GIF87a", b"GIF89a")

MAX_BLOCKS = 65_536
"""Of up to 255 bytes each, in comments and other extensions before the first frame."""

SCREEN_BYTES = 13
EXTENSION, FRAME, END = 0x21, 0x2C, 0x3B
GRAPHIC_CONTROL = 0xF9
"""Says which color is transparent, and thereby what is around a frame that is smaller than the canvas."""


def outline(data: File, check_size: CheckSize) -> Outline:
    """Raises ``BadImage``."""
    try:
        return _outline(data, check_size)
    except (struct.error, IndexError):
        raise Truncated(NAME) from None


def _outline(data: File, check_size: CheckSize) -> Outline:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    screen_end = at = SCREEN_BYTES + _palette_bytes(flags)
    control: File = b""
    blocks = 0
    while (introducer := data[at]) != FRAME:
        if introducer == END:
            raise Broken(NAME, "it has no frame")
        if introducer != EXTENSION:
            at += 1  # decoders pass over what is between blocks
            blocks += 1
            if blocks > MAX_BLOCKS:
                raise TooComplex(NAME, "blocks before its first frame", MAX_BLOCKS)
            continue
        begin, label = at, data[at + 1]
        at += 2
        while size := data[at]:
            at += 1 + size
            blocks += 1
            if blocks > MAX_BLOCKS:
                raise TooComplex(NAME, "blocks before its first frame", MAX_BLOCKS)
        at += 1
        if label == GRAPHIC_CONTROL:
            control = data[begin:at]
    left, top, frame_width, frame_height = struct.unpack_from("<HHHH", data, at + 1)
    # A frame that reaches beyond the canvas makes it larger.
    width, height = max(width, left + frame_width), max(height, top + frame_height)
    check_size(width, height)
    return Outline(NAME, width, height, (data[:screen_end], control, memoryview(data)[at:]))


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
