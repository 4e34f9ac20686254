"""BMP: the header, and whether the pixels are run-length encoded."""

from __future__ import annotations

import struct

from runtime.images.outline import CheckSize, File, Outline
from runtime.images.refusals import Broken, TooComplex, Truncated

NAME = "BMP"
SIGNATURE = b"BM"

OLD_HEADER = 12
NEW_HEADERS = (40, 52, 56, 64, 108, 124)
RUN_LENGTH = (1, 2)

MAX_RUN_LENGTH = 4 << 20
"""Pixels and bytes of a run-length encoded file: the decoder reads these one by one, in Python."""


def outline(data: File, check_size: CheckSize) -> Outline:
    """Raises ``BadImage``."""
    try:
        (header,) = struct.unpack_from("<I", data, 14)
        if header == OLD_HEADER:
            width, height = struct.unpack_from("<HH", data, 18)
            check_size(width, height)
            return Outline(NAME, width, height, (data,))
        if header not in NEW_HEADERS:
            raise Broken(NAME, f"a header of {header} bytes is not known")
        width, height, compression = struct.unpack_from("<Ii4xI", data, 18)
    except struct.error:
        raise Truncated(NAME) from None
    height = abs(height)  # negative: the rows begin at the top
    check_size(width, height)
    if compression in RUN_LENGTH and max(len(data), width * height) > MAX_RUN_LENGTH:
        raise TooComplex(NAME, "pixels or bytes in run-length encoding", MAX_RUN_LENGTH)
    return Outline(NAME, width, height, (data,))
