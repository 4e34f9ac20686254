"""The bytes of one exchange: the request as Weaviate's client sends it, and the checks of an answer."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from bench.errors import LoadFailed

ANSWER_SECONDS = 50.0
"""Weaviate's client gives up after that time."""

HEADER_END = b"\r\n\r\n"
LENGTH_HEADER = b"\r\ncontent-length:"
CLOSE_HEADER = b"\r\nconnection: close"
OK = b"200"


@dataclass(frozen=True)
class Request:
    text: bytes
    wire: bytes

    @classmethod
    def of(cls, text: str, port: int) -> Request:
        return cls(text.encode(), vectors_request(text, port))


def vectors_request(text: str, port: int) -> bytes:
    """Weaviate's Go client sends no Content-Type, and more keys than the text and its configuration."""
    fields = {
        "text": text,
        "dims": 0,
        "vector": None,
        "error": "",
        "config": {"pooling_strategy": "masked_mean", "task_type": "passage"},
    }
    body = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    header = (
        f"POST /vectors HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: Go-http-client/1.1\r\n"
        f"Content-Length: {len(body)}\r\nAccept-Encoding: gzip\r\n\r\n"
    )
    return header.encode() + body


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


def check_answer(response: bytes | bytearray, text: bytes, dim: int) -> None:
    """Raise ``LoadFailed`` unless this is a 200 that echoes the text and has a vector of ``dim`` components.

    PERF: the load generator shares the cores with the server, so this counts commas instead of parsing the JSON, and
    requires a text in which JSON escapes nothing. ``parse_answer`` has neither limitation.
    """
    _check_status(response)
    body = response.find(HEADER_END)
    if response.find(text, body) < 0:
        raise _failure("the answer does not echo the text", response)
    start = response.find(b"[", response.find(b'"vector"', body))
    end = response.find(b"]", start)
    if start < 0 or end < 0 or response.count(b",", start, end) + 1 != dim:
        raise _failure(f"the answer has no vector of {dim} components", response)


def parse_answer(response: bytes | bytearray, text: str) -> list[float]:
    """The vector of a 200 that echoes the text; its length must be ``dim``, and all components must be finite.

    Raises ``LoadFailed``.
    """
    _check_status(response)
    try:
        answer = json.loads(response[response.find(HEADER_END) + len(HEADER_END) :])
        vector = [float(component) for component in answer["vector"]]
        matches = answer["text"] == text and answer["dim"] == len(vector)
    except (ValueError, TypeError, KeyError) as error:
        raise _failure(f"the answer does not follow the contract ({error})", response) from None
    if not matches or not all(map(math.isfinite, vector)):
        raise _failure("the answer's text, dim and vector do not match", response)
    return vector


def _check_status(response: bytes | bytearray) -> None:
    if response[9:12] != OK:
        raise _failure(f"the status is {status_of(response)}", response)


def _failure(reason: str, response: bytes | bytearray) -> LoadFailed:
    head, _, body = bytes(response).partition(HEADER_END)
    status = head.partition(b"\r\n")[0].decode("latin-1")
    return LoadFailed(f"{reason}: {status} {body[:200].decode('utf-8', 'replace')}")
