"""An ASGI application that does what a test tells it, and remembers what it saw."""

from __future__ import annotations

import asyncio
from typing import Any

from runtime.api.body import BODY, Receive, Send
from runtime.errors import ServingError

STATUS = {"BodyTooLarge": 413, "BodyTimeout": 408, "Unavailable": 503}


class RecordingApp:
    """Answers with the body that it read. ``/held`` waits for ``release``; ``/unread`` does not read the body."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.answer = answer
        self.scopes: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.release = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.scopes.append(scope)
        self.begun.append(path)
        try:
            await self._answer(scope, path, send)
        except asyncio.CancelledError:
            self.cancelled.append(path)
            raise

    async def _answer(self, scope: dict[str, Any], path: str, send: Send) -> None:
        if path == "/fails":
            raise RuntimeError("a bug")
        if path == "/unread":
            await _send(send, 404, b"")
            return
        try:
            body = await scope[BODY].read()
        except ServingError as error:
            await _send(send, STATUS.get(type(error).__name__, 400), str(error).encode())
            return
        self.bodies.append(body)
        if path.startswith("/held"):
            await self.release.wait()
        await _send(send, 200, body if self.answer is None else self.answer)


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
