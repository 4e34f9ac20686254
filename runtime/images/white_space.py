"""Takes white space out of base64, also where it is escaped as JSON escapes it."""

from __future__ import annotations

import numpy as np

SPACE = b" \t\n\r\v\f"

BACKSLASH = ord("\\")
ESCAPED = 0x80
"""This bit marks what follows a backslash."""

ESCAPED_SLASH = ord("/") | ESCAPED
WITH_SLASHES = bytes(ord("/") if byte == ESCAPED_SLASH else byte for byte in range(256))
SPACE_OF_LITERALS = SPACE + b"\\" + bytes(letter | ESCAPED for letter in b"tnrf")


def without_space(text: bytes) -> bytes:
    """The other characters."""
    return text.translate(None, SPACE)


def without_space_of_literal(literal: memoryview) -> bytes:
    """The other characters of the text. What is escaped, and no slash, is a byte beyond ASCII here: base64 has none.

    ``literal``: as JSON writes the text, in ASCII; every escape has two bytes.
    """
    # NOTE: two backslashes mean one, which is none of base64's characters, and the second one here is beyond ASCII.
    # So escapes need no parity.
    marked = np.frombuffer(literal, np.uint8).copy()
    marked[1:] |= (marked[:-1] == BACKSLASH).view(np.uint8) * np.uint8(ESCAPED)
    return marked.tobytes().translate(WITH_SLASHES, SPACE_OF_LITERALS)
