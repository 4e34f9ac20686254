"""Bytes from base64, as clients send it: with a data URL's prefix or without, in one line or in several."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Protocol

import numpy as np
import pybase64

from runtime.images.refusals import NotBase64
from runtime.images.white_space import SPACE, without_space, without_space_of_literal

DATA_URL = re.compile(r"data:([^,]{0,200}?)(;base64)?,", re.IGNORECASE)
SCHEME = "data:"

LONGEST_PREFIX = 256
"""Characters; more than a data URL has before its content."""

BLOCK = 128 * 1024
"""Characters that are decoded at a time. That takes less than a millisecond, for which the interpreter is held up."""

QUAD, BYTES_OF_QUAD = 4, 3
"""So many characters are so many bytes."""

PADDING = b"="


class Literal(Protocol):
    """A part of a text as JSON writes it: in ASCII, and every escape has two bytes, the first a backslash."""

    @property
    def literal(self) -> memoryview:
        """As it is written."""

    def __str__(self) -> str:
        """The text."""


Part = str | memoryview | Literal


class InBlocks(Protocol):
    """A text that is read in parts."""

    def __len__(self) -> int:
        """At least as many as it has characters."""

    def blocks(self, size: int) -> Iterator[Part]:
        """The parts in order, of ``size`` characters at most; ASCII may come as bytes or as a literal."""


Base64 = str | InBlocks


def decode_base64(
    text: Base64, check: Callable[[bytes], object] = lambda beginning: None, enough: int = 0, block: int = BLOCK
) -> bytes | memoryview:
    """The bytes that are written so. Raises ``NotBase64``.

    Takes the standard alphabet with its padding. ASCII's white space does not count, wherever it is.
    ``check`` gets the beginning, of ``enough`` bytes or more if there are so many, before the rest is decoded. Raises
    what it raises. ``block``: so many characters are decoded at a time.
    """
    parts = _decoded(_without_prefix(_blocks(text, block)))
    beginning = b""
    for part in parts:
        beginning += part
        if len(beginning) >= enough:
            break
    check(beginning)
    return _joined(beginning, parts, len(text) // QUAD * BYTES_OF_QUAD + BYTES_OF_QUAD)


def _joined(beginning: bytes, others: Iterator[bytes], most: int) -> bytes | memoryview:
    """All of it, at most ``most`` bytes."""
    # PERF: numpy asks for large pages, which are there several times as fast. What is not written takes no memory.
    file: memoryview | None = None
    end = len(beginning)
    for part in others:
        if not part:
            continue
        if file is None:
            file = np.empty(most, np.uint8).data
            file[:end] = beginning
        file[end : end + len(part)] = part
        end += len(part)
    return beginning if file is None else file[:end].toreadonly()


def _blocks(text: Base64, size: int) -> Iterator[Part]:
    if isinstance(text, str):
        return (text[at : at + size] for at in range(0, len(text), size))
    return text.blocks(size)


def _without_prefix(blocks: Iterator[Part]) -> Iterable[Part]:
    """The content. White space before it is left out, too."""
    beginning = ""
    for part in blocks:
        # PERF: of a literal, white space is told from the rest more quickly than it is parsed.
        if not beginning and not isinstance(part, str) and not without_space(_bytes(part)):
            continue
        beginning = (beginning + _text(part)).lstrip(SPACE.decode())
        scheme = beginning[: len(SCHEME)].lower()
        if len(beginning) >= LONGEST_PREFIX or not SCHEME.startswith(scheme):
            break
    if beginning[: len(SCHEME)].lower() == SCHEME:
        prefix = DATA_URL.match(beginning)
        if prefix is None or prefix[2] is None:
            raise NotBase64("a data URL must begin with data:, its type, and ;base64,")
        beginning = beginning[prefix.end() :]
    return chain((beginning,), blocks)


def _decoded(blocks: Iterable[Part]) -> Iterator[bytes]:
    """The bytes of whole quads of characters."""
    rest, has_ended = b"", False
    for block in blocks:
        text = rest + _bytes(block)
        data = None if has_ended else _decoded_quads(text)
        # PERF: that fails at the first white space, and is faster than to look whether there is any.
        if data is None:
            text = without_space(text)
            if has_ended and text:
                raise NotBase64("excess data after padding")
            data = _decoded_quads(text)
        whole = len(text) // QUAD * QUAD
        if data is None:
            raise _refusal(text[:whole])
        yield data
        rest = text[whole:]
        has_ended = has_ended or text.endswith(PADDING, 0, whole)
    rest = without_space(rest)
    if rest:
        raise _refusal(rest)


def _decoded_quads(text: bytes) -> bytes | None:
    """None if one of the whole ones has something else than base64's characters, and maybe padding at the end."""
    try:
        return pybase64.b64decode(memoryview(text)[: len(text) // QUAD * QUAD], validate=True)
    except binascii.Error:
        return None


def _text(part: Part) -> str:
    return str(part, "ascii") if isinstance(part, memoryview) else str(part)


def _bytes(part: Part) -> bytes:
    """The part, in which there may be less white space."""
    if isinstance(part, str):
        if not part.isascii():
            raise NotBase64("a character is not ASCII")
        return part.encode("ascii")
    return bytes(part) if isinstance(part, memoryview) else without_space_of_literal(part.literal)


def _refusal(part: bytes) -> NotBase64:
    """Why this is not base64."""
    try:
        binascii.a2b_base64(part, strict_mode=True)
    except binascii.Error as error:
        detail = str(error).lower()
        # NOTE: it would count the characters of this part alone.
        return NotBase64("a last character is left over" if "number of data characters" in detail else detail)
    # NOTE: Python takes four of them behind whole quads.
    return NotBase64("excess padding")
