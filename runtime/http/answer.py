"""Renders answers as bytes."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

import orjson

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

CONTINUE = STATUS_LINES[HTTPStatus.CONTINUE] + b"\r\n"

CLOSE = b"connection: close\r\n"
KEEP_ALIVE = b"connection: keep-alive\r\n"


def render_head(status: int, headers: Iterable[tuple[bytes, bytes]], connection: bytes) -> bytes:
    """The status line and headers. ``connection``: a whole header line, or nothing."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b%b%b\r\n" % (STATUS_LINES[status], lines, connection)


def render_error(status: int, sentence: str) -> bytes:
    """A whole answer in the shape of all errors, after which the connection is closed."""
    body = orjson.dumps({"error": sentence})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return render_head(status, headers, CLOSE) + body
