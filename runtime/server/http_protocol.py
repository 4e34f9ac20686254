"""Speaks HTTP/1.1 with one client, and bounds what a client may hold open before its request is complete."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime.api.body import WHOLE_BODY

HEADER_SECONDS = 20.0
MAX_HEADER_BYTES = 32 * 1024
MAX_CONNECTIONS = 1000


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with what it lacks: a deadline and a size for the header block, a number of connections.

    A connection beyond ``MAX_CONNECTIONS`` is closed at once, so that stalled ones cannot use up the file descriptors.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._header_bytes = 0
        self._reading_header = True
        self._is_new_request = False
        self._header_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.close()
            return
        self._arm_deadline()

    def data_received(self, data: bytes) -> None:
        self._is_new_request = False
        if self._reading_header:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._reading_header and self._header_bytes:
            self._go_on_with_header()

    def on_headers_complete(self) -> None:
        self._reading_header = False
        self._is_new_request = True
        self._disarm_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reading_header = True
        self._header_bytes = 0
        if self._is_new_request:
            # PERF: nearly every request; reading such a body from a stream takes a fifth of all that HTTP takes.
            self.scope[WHOLE_BODY] = bytes(self.cycle.body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm_deadline()
        super().connection_lost(exc)

    def _go_on_with_header(self) -> None:
        """Wait for the rest of a header block of which a part has arrived."""
        if self._header_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("Header block too large.")
        elif self._header_deadline is None:
            self._arm_deadline()

    def _arm_deadline(self) -> None:
        self._header_deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _disarm_deadline(self) -> None:
        if self._header_deadline is not None:
            self._header_deadline.cancel()
            self._header_deadline = None
