"""What an endpoint reads a request's body from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

BODY = "cpu2vec.body"
"""Key of the ASGI scope: the ``RequestBody``. ASGI's own events know neither turns nor memory."""

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApp = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class RequestBody(Protocol):
    """A body that may still be on its way, and the memory that is reserved for its request."""

    @property
    def deadline(self) -> float | None:
        """When the request must have been begun, by the event loop's clock; None: any time."""

    async def read(self) -> bytes:
        """The whole body, once. Raises ``ServingError`` for one that is too large, late or malformed."""

    def keep(self, size: int) -> None:
        """Reserve only so many bytes from now on."""

    async def reserve(self, size: int) -> None:
        """Wait for memory for a large answer. Raises ``Unavailable`` at the deadline."""
