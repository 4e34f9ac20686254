"""Where JSON text can be divided, so that each part of a string is a string."""

from __future__ import annotations

import re

import numpy as np

SMALLEST = 16
"""Bytes; a part that may have so many can always end somewhere."""

LONGEST_ESCAPE = 6
LONGEST_CHARACTER = 4
HIGH_SURROGATE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")

BACKSLASH = ord("\\")
USUAL_RUN = 64


def part_end(text: bytes, begin: int, end: int) -> int:
    """``end`` or a few bytes before, so that no character, escape or pair of surrogates is divided.

    ``begin`` is such a place, and the two are at least ``SMALLEST`` apart unless ``end`` is that of the text.
    """
    if end == len(text):
        return end
    last = text.rfind(b"\\", max(begin, end - LONGEST_ESCAPE), end)
    if last >= 0 and _begins_escape(text, begin, last):
        before = last - LONGEST_ESCAPE
        is_pair = before >= begin and HIGH_SURROGATE.match(text, before) and _begins_escape(text, begin, before)
        return before if is_pair else last
    # NOTE: more bytes that continue a character than it can have are no text, wherever they are divided.
    for at in range(end, end - LONGEST_CHARACTER, -1):
        if text[at] & 0xC0 != 0x80:
            return at
    return end


def _begins_escape(text: bytes, begin: int, at: int) -> bool:
    """Whether the backslash there is not escaped itself: it is the first, third or fifth of its run."""
    part = text[max(begin, at - USUAL_RUN) : at]
    run = len(part) - len(part.rstrip(b"\\"))
    if run == USUAL_RUN:
        others = np.frombuffer(text, np.uint8, at - begin, begin) != BACKSLASH
        run = int(others[::-1].argmax()) if others.any() else len(others)
    return run % 2 == 0
