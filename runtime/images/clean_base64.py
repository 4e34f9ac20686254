"""Base64 of nothing but its 64 characters, decoded by vector instructions and mostly without the interpreter's lock."""

from __future__ import annotations

import string

import numpy as np

ALPHABET = f"{string.ascii_uppercase}{string.ascii_lowercase}{string.digits}+/".encode()
OTHER = 255

VALUES = bytes(ALPHABET.index(byte) if byte in ALPHABET else OTHER for byte in range(256))
"""The 6 bits that a character stands for."""

SPACE = b" \t\n\r\v\f"

BACKSLASH = ord("\\")
ESCAPED = 0x80
"""This bit marks what follows a backslash."""

ESCAPED_SLASH = b"/"[0] | ESCAPED
VALUES_OF_ESCAPED = VALUES[:ESCAPED_SLASH] + VALUES[ord("/") : ord("/") + 1] + VALUES[ESCAPED_SLASH + 1 :]
SPACE_OF_ESCAPED = SPACE + b"\\" + bytes(letter | ESCAPED for letter in b"tnrf")

SIX_OF_16 = 0x003F003F


def sextets(text: bytes) -> bytes:
    """The 6 bits of each character, and ``OTHER`` for one that has none, without white space."""
    return text.translate(VALUES, SPACE)


def sextets_of_literal(literal: memoryview) -> bytes:
    """The same from a JSON literal of ASCII whose escapes have two bytes each."""
    # NOTE: two backslashes mean one, which has no bits, and neither has the second one here. So escapes need no parity.
    marked = np.frombuffer(literal, np.uint8).copy()
    marked[1:] |= (marked[:-1] == BACKSLASH).view(np.uint8) * np.uint8(ESCAPED)
    return marked.tobytes().translate(VALUES_OF_ESCAPED, SPACE_OF_ESCAPED)


def characters(values: bytes) -> bytes:
    """The characters of sextets. Raises ``IndexError`` for other values."""
    return bytes(ALPHABET[value] for value in values)


def decode_sextets(values: bytes) -> memoryview | None:
    """The bytes of whole quads of characters; None where one that has no bits is among them."""
    sextets = np.frombuffer(values, np.uint8)
    if not len(sextets):
        return memoryview(b"")
    if sextets.max() == OTHER:
        return None
    # Four characters are a number of 32 bits, the first in the lowest byte: 00dddddd 00cccccc 00bbbbbb 00aaaaaa.
    quads = sextets.view("<u4")
    # 0000ccccccdddddd 0000aaaaaabbbbbb
    pairs = quads & SIX_OF_16
    pairs <<= 6
    lower = quads >> 8
    lower &= SIX_OF_16
    pairs |= lower
    # ….aaaaaabb bbbbcccc ccdddddd
    np.right_shift(pairs, 16, out=lower)
    pairs <<= 12
    pairs |= lower
    parts = pairs.view(np.uint8).reshape(-1, 4)
    data = np.empty((len(pairs), 3), np.uint8)
    for column in range(3):
        data[:, column] = parts[:, 2 - column]
    return data.reshape(-1).data
