"""The bytes of one exchange: a request as Weaviate's client sends it, and the frame of an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import LoadFailed

ANSWER_SECONDS = 50.0
"""Weaviate's client gives up after that time."""

HEADER_END = b"\r\n\r\n"
LENGTH_HEADER = b"\r\ncontent-length:"
CLOSE_HEADER = b"\r\nconnection: close"
OK = b"200"


@dataclass(frozen=True)
class Request:
    echo: bytes
    """What the answer must repeat as it is."""
    wire: bytes


JSON = "Content-Type: application/json\r\n"


def post(path: str, fields: Mapping[str, Any], port: int, headers: str = "") -> bytes:
    """Most of Weaviate's clients send JSON without a Content-Type. ``headers``: more lines, as of ``JSON``."""
    body = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    header = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: Go-http-client/1.1\r\n"
        f"Content-Length: {len(body)}\r\nAccept-Encoding: gzip\r\n{headers}\r\n"
    )
    return header.encode() + body


def body_of(message: bytes | bytearray) -> bytes | bytearray:
    """What is behind the header of a request or a response."""
    return message[message.find(HEADER_END) + len(HEADER_END) :]


def response_size(received: bytes | bytearray) -> int | None:
    """The size in bytes of the response that begins here, with its header; None while the header is incomplete.

    Raises ``LoadFailed`` for a response without Content-Length.
    """
    end = received.find(HEADER_END)
    if end < 0:
        return None
    header = bytes(received[: end + 2]).lower()
    start = header.find(LENGTH_HEADER)
    if start < 0:
        raise LoadFailed(f"a response has no Content-Length, which the load generator needs: {header[:80]!r}")
    start += len(LENGTH_HEADER)
    return end + len(HEADER_END) + int(header[start : header.find(b"\r\n", start)])


def closes(response: bytes | bytearray) -> bool:
    """Whether the server ends the connection after this response."""
    return CLOSE_HEADER in response[: response.find(HEADER_END)].lower()


def status_of(response: bytes | bytearray) -> str:
    """The status's three digits."""
    return response[9:12].decode("latin-1")


def check_status(response: bytes | bytearray) -> None:
    """Raise ``LoadFailed`` unless this is a 200."""
    if response[9:12] != OK:
        raise wrong(f"the status is {status_of(response)}", response)


def wrong(reason: str, response: bytes | bytearray) -> LoadFailed:
    """What to raise for an answer; its beginning is shown."""
    head, _, body = bytes(response).partition(HEADER_END)
    status = head.partition(b"\r\n")[0].decode("latin-1")
    return LoadFailed(f"{reason}: {status} {body[:200].decode('utf-8', 'replace')}")
