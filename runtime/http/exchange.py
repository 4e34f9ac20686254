"""One request and its answer, as an ASGI application sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from runtime.api.body import BODY
from runtime.http.body import IncomingBody
from runtime.http.head import Head

ASGI = {"version": "3.0", "spec_version": "2.3"}

NO_BODY = {"type": "http.request", "body": b"", "more_body": False}
"""What the application receives: bodies are read through the scope, where they can wait for their turn."""

Headers = list[tuple[bytes, bytes]]
Write = Callable[[int, Headers, bytes], None]


class Exchange:
    """A request from its head on, until its answer is written."""

    __slots__ = ("_headers", "_write", "began_at", "body", "head", "is_answered", "path", "status", "task")

    def __init__(self, head: Head, body: IncomingBody, write: Write) -> None:
        """``write`` is called once, with status, headers and body."""
        self.head, self.body, self._write = head, body, write
        self.path = head.path
        self.is_answered = False
        self.task: asyncio.Task[None] | None = None
        self.status = 0
        """Of the answer; 0 before it."""
        self.began_at = 0.0
        """When the head was there, in seconds of the monotonic clock."""
        self._headers: Headers = []

    def scope(self) -> dict[str, Any]:
        """The ASGI scope (ASGI specification, HTTP connection scope)."""
        head = self.head
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": head.version,
            "method": head.method,
            "scheme": "http",
            "path": self.path,
            "raw_path": head.target,
            "query_string": head.query,
            "root_path": "",
            "headers": head.headers.copy(),
            BODY: self.body,
        }

    async def receive(self) -> dict[str, Any]:
        """Nothing: a client that leaves cancels the task."""
        return NO_BODY

    async def send(self, event: dict[str, Any]) -> None:
        """Write the answer as a whole. The application makes each in one piece."""
        if event["type"] == "http.response.start":
            self.status, self._headers = event["status"], event["headers"]
        else:
            self.is_answered = True
            self._write(self.status, self._headers, event.get("body", b""))
