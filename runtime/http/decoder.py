"""Takes a request's body out of the bytes of its connection, by Content-Length or chunk by chunk."""

from __future__ import annotations

import io
from typing import Protocol

from runtime.errors import BodyTooLarge, MalformedRequest

MAX_CHUNK_LINE = 256
"""The most bytes of a line that announces a chunk, with its extensions, which nobody uses."""

HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")


class BodyDecoder(Protocol):
    """Collects the body of one request."""

    is_complete: bool
    size: int
    """Bytes of the body that have arrived."""

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to the body, and return what follows it. Raises ``BodyTooLarge``, ``MalformedRequest``."""

    def content(self) -> bytes:
        """The body; it can be taken once."""


class _Content:
    """Bytes that arrive in parts. There is one copy of them at a time, and no heap full of parts afterwards."""

    __slots__ = ("_buffer", "_first")

    def __init__(self) -> None:
        # PERF: most bodies arrive in one part, which is the content itself.
        self._first = b""
        self._buffer: io.BytesIO | None = None

    def add(self, part: bytes) -> None:
        if self._buffer is not None:
            self._buffer.write(part)
        elif self._first:
            self._buffer = io.BytesIO()
            self._buffer.write(self._first)
            self._buffer.write(part)
            self._first = b""
        else:
            self._first = part

    def take(self) -> bytes:
        """All of them, once."""
        content = self._first if self._buffer is None else self._buffer.getvalue()  # no copy
        self._first, self._buffer = b"", None
        return content


class SizedDecoder:
    """A body whose length the head announces. Implements ``BodyDecoder``."""

    __slots__ = ("_content", "_missing", "is_complete", "size")

    def __init__(self, length: int) -> None:
        self._missing = length
        self._content = _Content()
        self.size = 0
        self.is_complete = length == 0

    def feed(self, data: bytes) -> bytes:
        part, rest = (data, b"") if len(data) <= self._missing else (data[: self._missing], data[self._missing :])
        if part:
            self._content.add(part)
            self.size += len(part)
            self._missing -= len(part)
            self.is_complete = self._missing == 0
        return rest

    def content(self) -> bytes:
        return self._content.take()


class ChunkedDecoder:
    """A body in chunks (RFC 9112, 7.1). Trailers are refused. Implements ``BodyDecoder``."""

    __slots__ = ("_content", "_held", "_missing", "_seeks_end", "is_complete", "max_bytes", "size")

    def __init__(self, max_bytes: int) -> None:
        """Raises ``BodyTooLarge`` while it is fed with more than ``max_bytes`` in all."""
        self.max_bytes = max_bytes
        self._content = _Content()
        self._held = b""
        # Bytes of the chunk that are still to come, with the line end behind it; 0 before a chunk's line.
        self._missing = 0
        self._seeks_end = False
        self.size = 0
        self.is_complete = False

    def feed(self, data: bytes) -> bytes:
        if self._held:
            data, self._held = self._held + data, b""
        start = 0
        while not self.is_complete:
            step = self._take_chunk if self._missing else self._end if self._seeks_end else self._take_line
            taken = step(data, start)
            if not taken:
                self._held = data[start:]
                return b""
            start += taken
        return data[start:]

    def content(self) -> bytes:
        return self._content.take()

    def _take_line(self, data: bytes, start: int) -> int:
        """Read the line that announces a chunk."""
        end = data.find(b"\r\n", start, start + MAX_CHUNK_LINE)
        if end < 0:
            if len(data) - start >= MAX_CHUNK_LINE:
                raise MalformedRequest(f"a chunk of the body is announced by more than {MAX_CHUNK_LINE} bytes")
            return 0
        digits = data[start:end].partition(b";")[0].rstrip(b" \t")
        if not digits or len(digits) > 16 or not HEX_DIGITS.issuperset(digits):
            raise MalformedRequest("a chunk of the body has no valid size")
        length = int(digits, 16)
        if self.size + length > self.max_bytes:
            raise BodyTooLarge.beyond(self.max_bytes)
        self._missing = length + 2 if length else 0
        self._seeks_end = not length
        return end + 2 - start

    def _take_chunk(self, data: bytes, start: int) -> int:
        """Take what there is of the chunk, and the line end behind it as a whole."""
        there = len(data) - start
        if there >= self._missing:
            end = start + self._missing - 2
            if data[end : end + 2] != b"\r\n":
                raise MalformedRequest("a chunk of the body is longer than announced")
            self._add(data[start:end])
            taken, self._missing = self._missing, 0
            return taken
        # NOTE: the last two bytes stay until both are there.
        part = min(there, self._missing - 2)
        self._add(data[start : start + part])
        self._missing -= part
        return part

    def _end(self, data: bytes, start: int) -> int:
        """Read the empty line behind the last chunk."""
        if len(data) - start < 2:
            return 0
        if data[start : start + 2] != b"\r\n":
            raise MalformedRequest("trailers behind a chunked body are not accepted")
        self.is_complete = True
        return 2

    def _add(self, part: bytes) -> None:
        if part:
            self._content.add(part)
            self.size += len(part)
