"""Bytes from base64, as clients send it: with a data URL's prefix or without, in one line or in several."""

from __future__ import annotations

import binascii
import io
import re
from collections.abc import Callable, Iterator

from runtime.images.refusals import NotBase64

DATA_URL = re.compile(r"data:([^,]{0,200}?)(;base64)?,", re.IGNORECASE)

BLOCK = 256 * 1024
"""Characters that are decoded at a time. That takes less than a millisecond, for which the interpreter is held up."""

QUAD = 4
"""So many characters are three bytes."""

PADDING = "="


def decode_base64(
    text: str, check: Callable[[bytes], object] = lambda beginning: None, enough: int = 0, block: int = BLOCK
) -> bytes:
    """Raises ``NotBase64``. Takes the standard alphabet with its padding; white space anywhere does not count.

    ``check`` gets the beginning, of ``enough`` bytes or more if there are so many, before the rest is decoded. Raises
    what it raises. ``block``: so many characters are decoded at a time.
    """
    file, is_checked = io.BytesIO(), False
    for part in _blocks(text, block):
        file.write(part)
        if not is_checked and file.tell() >= enough:
            check(file.getvalue())
            is_checked = True
    data = file.getvalue()
    if not is_checked:
        check(data)
    return data


def _blocks(text: str, size: int) -> Iterator[bytes]:
    start = len(text) - len(text.lstrip())
    if text[start : start + 5].lower() == "data:":
        start = _payload(text, start)
    rest, has_ended = "", False
    for at in range(start, len(text), size):
        part = rest + "".join(text[at : at + size].split())
        if part and has_ended:
            raise NotBase64("excess data after padding")
        whole = len(part) // QUAD * QUAD
        part, rest = part[:whole], part[whole:]
        if part:
            yield _decoded(part)
            has_ended = part[-1] == PADDING
    if rest:
        yield _decoded(rest)


def _decoded(part: str) -> bytes:
    try:
        return binascii.a2b_base64(part, strict_mode=True)
    except binascii.Error as error:
        detail = str(error).lower()
        # NOTE: it would count the characters of this part alone.
        raise NotBase64("a last character is left over" if "number of data characters" in detail else detail) from None
    except ValueError:
        raise NotBase64("a character is not ASCII") from None


def _payload(text: str, start: int) -> int:
    """Where the content of the data URL begins that begins at ``start``."""
    prefix = DATA_URL.match(text, start)
    if prefix is None or prefix[2] is None:
        raise NotBase64("a data URL must begin with data:, its type, and ;base64,")
    return prefix.end()
