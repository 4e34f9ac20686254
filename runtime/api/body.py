"""Reads a request's body, never more of it than allowed and never waiting longer than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from falcon.asgi import Request

from runtime.errors import BodyTimeout, BodyTooLarge, InvalidRequest

WHOLE_BODY = "cpu2vec.whole_body"
"""Key of the ASGI scope: the body of a request, where it arrived in one piece with its header: nobody waits for it."""


@dataclass(frozen=True)
class BodyLimits:
    """How large a body may be, and how long its sender may take."""

    max_bytes: int
    seconds: float = 30.0
    """Below the 50 s after which Weaviate gives up."""


Receive = Callable[[], Awaitable[dict[str, Any]]]
AsgiApp = Callable[[dict[str, Any], Receive, Any], Awaitable[None]]


def begin_before_body(app: AsgiApp) -> AsgiApp:
    """An application that starts ``app`` when the headers are there, with an empty first part of the body.

    Falcon by itself waits for the first part, without a deadline and before it looks at Content-Length.
    """

    async def early(scope: dict[str, Any], receive: Receive, send: Any) -> None:
        parts = [{"type": "http.request", "body": b"", "more_body": True}]

        async def receive_next() -> dict[str, Any]:
            return parts.pop() if parts else await receive()

        await app(scope, receive_next, send)

    return early


async def read_body(req: Request, limits: BodyLimits) -> bytes:
    """The whole body. Raises ``BodyTooLarge`` (by Content-Length, before reading a byte, where there is one),
    ``BodyTimeout``, and ``InvalidRequest`` for a body shorter than its Content-Length.
    """
    whole: bytes | None = req.scope.get(WHOLE_BODY)
    if whole is not None:
        _refuse_beyond(limits.max_bytes, len(whole))
        return whole
    announced: int | None = req.content_length
    _refuse_beyond(limits.max_bytes, announced or 0)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in req.stream:
                size += len(chunk)
                _refuse_beyond(limits.max_bytes, size)
                chunks.append(chunk)
    except TimeoutError:
        raise BodyTimeout(f"the body did not arrive within {limits.seconds:g} seconds") from None
    if announced is not None and size < announced:
        raise InvalidRequest(f"the body has {size} bytes instead of the {announced} that Content-Length announced")
    return b"".join(chunks)


def _refuse_beyond(max_bytes: int, size: int) -> None:
    if size > max_bytes:
        raise BodyTooLarge(f"the body is larger than {max_bytes} bytes, the limit of this server (MAX_BODY_BYTES)")
