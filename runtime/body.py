"""Reads a request's body, never more of it than allowed and never waiting longer than allowed."""

from __future__ import annotations

import asyncio
import math

from falcon.asgi import Request

from runtime.errors import BodyTimeout, BodyTooLarge, InvalidRequest

DIGITS_BEYOND_ANY_LIMIT = 20


async def read_body(req: Request, max_bytes: int, timeout_seconds: float) -> bytes:
    """The whole body. Raises ``BodyTooLarge`` (by Content-Length, before reading a byte, where there is one),
    ``BodyTimeout``, and ``InvalidRequest`` for a body shorter than its Content-Length.
    """
    declared = req.get_header("Content-Length")
    announced = _announced_bytes(declared)
    if announced > max_bytes:
        raise BodyTooLarge(f"the body is larger than {max_bytes} bytes, the limit of this server (MAX_BODY_BYTES)")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_seconds):
            async for chunk in req.stream:
                size += len(chunk)
                if size > max_bytes:
                    raise BodyTooLarge(
                        f"the body is larger than {max_bytes} bytes, the limit of this server (MAX_BODY_BYTES)"
                    )
                chunks.append(chunk)
    except TimeoutError:
        raise BodyTimeout(f"the body did not arrive within {timeout_seconds:g} seconds") from None
    if declared is not None and size < announced:
        raise InvalidRequest(f"the body ended after {size} bytes, and Content-Length announced {declared}")
    return b"".join(chunks)


def _announced_bytes(declared: str | None) -> float:
    if declared is None:
        return 0
    digits = declared.strip()
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidRequest("Content-Length must be a whole number")
    return math.inf if len(digits.lstrip("0")) > DIGITS_BEYOND_ANY_LIMIT else int(digits)
