"""Bytes from base64, as clients send it: with a data URL's prefix or without, in one line or in several."""

from __future__ import annotations

import binascii
import io
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Protocol

from runtime.images.clean_base64 import decode_clean
from runtime.images.refusals import NotBase64

DATA_URL = re.compile(r"data:([^,]{0,200}?)(;base64)?,", re.IGNORECASE)
SCHEME = "data:"

LONGEST_PREFIX = 256
"""Characters; more than a data URL has before its content."""

BLOCK = 128 * 1024
"""Characters that are decoded at a time. That takes less than a millisecond, for which the interpreter is held up."""

QUAD = 4
"""So many characters are three bytes."""

PADDING = b"="


class InBlocks(Protocol):
    """A text that is read in parts."""

    def __len__(self) -> int:
        """At least as many as it has characters."""

    def blocks(self, size: int) -> Iterator[str | memoryview]:
        """The parts in order, of ``size`` characters at most; ASCII may come as bytes."""


Base64 = str | InBlocks


def decode_base64(
    text: Base64, check: Callable[[bytes], object] = lambda beginning: None, enough: int = 0, block: int = BLOCK
) -> bytes:
    """Raises ``NotBase64``. Takes the standard alphabet with its padding; white space anywhere does not count.

    ``check`` gets the beginning, of ``enough`` bytes or more if there are so many, before the rest is decoded. Raises
    what it raises. ``block``: so many characters are decoded at a time.
    """
    file, is_checked = io.BytesIO(), False
    for part in _decoded(_without_prefix(_blocks(text, block))):
        file.write(part)
        if not is_checked and file.tell() >= enough:
            check(file.getvalue())
            is_checked = True
    data = file.getvalue()
    if not is_checked:
        check(data)
    return data


def _blocks(text: Base64, size: int) -> Iterator[str | memoryview]:
    if isinstance(text, str):
        return (text[at : at + size] for at in range(0, len(text), size))
    return text.blocks(size)


def _without_prefix(blocks: Iterator[str | memoryview]) -> Iterable[str | memoryview]:
    """The content. White space before it is left out, too."""
    beginning = ""
    for part in blocks:
        beginning = (beginning + _text(part)).lstrip()
        scheme = beginning[: len(SCHEME)].lower()
        if len(beginning) >= LONGEST_PREFIX or not SCHEME.startswith(scheme):
            break
    if beginning[: len(SCHEME)].lower() == SCHEME:
        prefix = DATA_URL.match(beginning)
        if prefix is None or prefix[2] is None:
            raise NotBase64("a data URL must begin with data:, its type, and ;base64,")
        beginning = beginning[prefix.end() :]
    return chain((beginning,), blocks)


def _decoded(blocks: Iterable[str | memoryview]) -> Iterator[bytes | memoryview]:
    rest, has_ended, is_clean = b"", False, True
    for block in blocks:
        part = rest + _ascii(block)
        whole = len(part) // QUAD * QUAD
        # PERF: where one block has line ends, others have them, too.
        data: bytes | memoryview | None = decode_clean(part[:whole]) if is_clean else None
        if data is None:
            is_clean = False
            part = _without_space(part)
            if part and has_ended:
                raise NotBase64("excess data after padding")
            whole = len(part) // QUAD * QUAD
            has_ended |= part[:whole].endswith(PADDING)
            data = decode_clean(part[:whole]) or _strictly(part[:whole])
        rest = _without_space(part[whole:])
        yield data
    if rest:
        yield _strictly(rest)


def _without_space(part: bytes) -> bytes:
    return b"".join(part.split())


def _text(part: str | memoryview) -> str:
    return part if isinstance(part, str) else str(part, "ascii")


def _ascii(part: str | memoryview) -> bytes:
    if not isinstance(part, str):
        return bytes(part)
    try:
        return part.encode("ascii")
    except UnicodeEncodeError:
        pass
    try:
        return "".join(part.split()).encode("ascii")
    except UnicodeEncodeError:
        raise NotBase64("a character is not ASCII") from None


def _strictly(part: bytes) -> bytes:
    try:
        return binascii.a2b_base64(part, strict_mode=True)
    except binascii.Error as error:
        detail = str(error).lower()
        # NOTE: it would count the characters of this part alone.
        raise NotBase64("a last character is left over" if "number of data characters" in detail else detail) from None
