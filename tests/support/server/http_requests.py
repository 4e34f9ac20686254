"""Requests and limits for tests of connections."""

from __future__ import annotations

import math
from dataclasses import replace

from runtime.http.limits import Deadlines, HttpLimits, Memory
from tests.support.patience import PATIENCE

SHORT = 0.2
"""A deadline that a test waits for, in seconds."""

PATIENT = Deadlines(
    head=PATIENCE, body=PATIENCE, stall=PATIENCE, keep_alive=PATIENCE, write=PATIENCE, age=math.inf, check=0.02
)
"""Deadlines that no test meets by chance."""

MEGABYTE = 1 << 20


def limits(**deadlines: float) -> HttpLimits:
    return HttpLimits(replace(PATIENT, **deadlines), Memory(max_body=MEGABYTE))


def post(body: bytes, path: str = "/", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST_GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
