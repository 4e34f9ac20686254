"""Speaks HTTP/1.1 with one client: one request at a time, and a deadline for whatever it is the client's turn to do.

The states are drawn in docs/server.md.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import math
import socket
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, cast

from runtime.api.body import AsgiApp
from runtime.errors import MalformedRequest, ServingError, UnsupportedVersion
from runtime.http.answer import CLOSE, CONTINUE, KEEP_ALIVE, render_error, render_head
from runtime.http.body import BodyRules, IncomingBody
from runtime.http.decoder import ChunkedDecoder, SizedDecoder
from runtime.http.exchange import Exchange, Headers
from runtime.http.hangups import HangupWatcher
from runtime.http.head import HEAD_END, Head
from runtime.http.known_heads import KnownHeads
from runtime.http.limits import Deadlines, Memory

JOINED_BYTES = 64 * 1024
"""A body up to this size is copied behind its head, for one write."""

READING_BUFFER = 128 * 1024
"""The kernel's, while a body is being read."""

log = logging.getLogger("cpu2vec")


class State(enum.Enum):
    """What a connection waits for."""

    IDLE = enum.auto()
    """A request's first byte."""
    HEAD = enum.auto()
    """The rest of a head."""
    REQUEST = enum.auto()
    """The body, the application, or both."""
    WRITING = enum.auto()
    """The client, to take the answer."""
    CLOSING = enum.auto()
    """The end: nothing is read any more."""


class Registry(Protocol):
    """Knows all connections of a server."""

    is_draining: bool
    """Whether every answer closes its connection."""

    def add(self, connection: Connection) -> None:
        """A client has connected."""

    def remove(self, connection: Connection) -> None:
        """A connection has ended."""

    def idle(self, connection: Connection) -> None:
        """It waits for a request."""

    def busy(self, connection: Connection) -> None:
        """It does not."""

    def began(self, exchange: Exchange) -> None:
        """A request has arrived."""

    def ended(self, exchange: Exchange) -> None:
        """Its answer is written, or its client has gone."""

    def refused(self) -> None:
        """Something arrived that is no request."""


@dataclass(frozen=True)
class Context:
    """What all connections of a server share."""

    app: AsgiApp
    loop: asyncio.AbstractEventLoop
    registry: Registry
    hangups: HangupWatcher
    deadlines: Deadlines
    memory: Memory
    body_rules: BodyRules
    heads: KnownHeads


class Connection(asyncio.Protocol):
    """One TCP connection. Implements ``body.Link``."""

    def __init__(self, context: Context, sock: socket.socket, closes_at: float) -> None:
        """``closes_at``: an answer after that time is the last one, by the event loop's clock."""
        self._context, self._socket, self._closes_at = context, sock, closes_at
        self._fd = sock.fileno()
        self._transport: asyncio.Transport = _NOT_CONNECTED
        self._state = State.IDLE
        self._deadline = math.inf
        # What arrived before its turn, and whether the rest is left in the socket.
        self._early = b""
        self._is_held = False
        self._is_write_paused = False
        self._unwritten = 0
        self._exchange: Exchange | None = None
        self._is_last_answer = False
        self.has_sent_request = False
        self.accepted_at = context.loop.time()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._context.registry.add(self)
        self._wait_for_request(self._context.deadlines.head)

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state is State.IDLE or state is State.HEAD:
            self._read_head(self._early + data if self._early else data)
        elif state is State.REQUEST:
            self._read_body(data)
        elif state is State.WRITING:
            self._hold_back(data)

    def eof_received(self) -> bool:
        """A client that has closed its side counts as gone, as in nginx and in Go's server."""
        self.close()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self._enter(State.CLOSING, math.inf)
        exchange = self._exchange
        self._end_exchange()
        if exchange is not None and exchange.task is not None:
            # NOTE: a task that was canceled keeps the frames of its last step, with the text. One of them has the
            # exchange, which would keep the task until both are collected.
            task, exchange.task = exchange.task, None
            task.cancel()
        self._context.registry.remove(self)

    def pause_writing(self) -> None:
        self._is_write_paused = True

    def resume_writing(self) -> None:
        self._is_write_paused = False
        if self._state is State.WRITING:
            self._after_answer()

    # What the server calls.

    def check(self, now: float) -> None:
        """Act on a deadline that is over."""
        if self._state is State.REQUEST:
            if self._exchange is not None:
                self._exchange.body.check(now)
        elif now >= self._deadline:
            if self._takes_answer():
                self._deadline = now + self._context.deadlines.write
            else:
                self.close()

    def postpone(self, seconds: float) -> None:
        """Add time to the deadline, for which nobody could do anything."""
        self._deadline += seconds
        if self._exchange is not None:
            self._exchange.body.postpone(seconds)

    def close(self) -> None:
        """End the connection at once, whatever it does."""
        self._unwatch()
        self._transport.abort()

    # What a body calls.

    def hold(self) -> None:
        if not self._is_held and not self._transport.is_closing():
            self._is_held = True
            self._transport.pause_reading()
            self._context.hangups.watch(self._fd, self.close)

    def go_on(self) -> None:
        exchange = self._exchange
        if exchange is None or self._transport.is_closing():
            return
        if exchange.head.expects_continue:
            self._transport.write(CONTINUE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READING_BUFFER)
        early, self._early = self._early, b""
        if early:
            self._read_body(early)
        if not self._early:
            self._resume()

    # Reading.

    def _wait_for_request(self, seconds: float) -> None:
        self._enter(State.IDLE, seconds)
        self._context.registry.idle(self)

    def _read_head(self, data: bytes) -> None:
        """Begin the next request if its head is there, and wait for the rest otherwise."""
        data = data.lstrip(b"\r\n")  # RFC 9112, 2.2: a server should ignore empty lines before a request.
        end = data.find(HEAD_END)
        size = end + len(HEAD_END) if end >= 0 else len(data)
        limit = self._context.memory.max_head
        try:
            if size > limit:
                raise MalformedRequest(f"the head of the request has more than {limit} bytes")
            if end >= 0:
                self._begin(self._context.heads.parse(data[:size]), data[size:])
                return
            refuse_other_protocols(data)
        except ServingError as error:
            self._refuse(error)
            return
        self._early = data
        if data and self._state is State.IDLE:
            self._enter(State.HEAD, self._context.deadlines.head)

    def _begin(self, head: Head, rest: bytes) -> None:
        """Hand a request to the application as soon as its head is there."""
        context = self._context
        length = head.content_length
        decoder = ChunkedDecoder(context.memory.max_body) if length is None else SizedDecoder(length)
        body = IncomingBody(decoder, length, context.body_rules, self, context.loop.time())
        exchange = Exchange(head, body, self._answer)
        self._enter(State.REQUEST, math.inf)
        self._exchange, self._early = exchange, b""
        self.has_sent_request = True
        context.registry.began(exchange)
        if rest:
            self._read_body(rest)
        exchange.task = context.loop.create_task(self._run(exchange))

    def _read_body(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.body.wants_data:
            data = exchange.body.feed(data, self._context.loop.time())
        if data:
            self._hold_back(data)

    def _hold_back(self, data: bytes) -> None:
        """Keep what belongs to a later step, and leave the rest in the socket."""
        self._early += data
        self.hold()

    def _resume(self) -> None:
        if self._is_held and not self._transport.is_closing():
            self._unwatch()
            self._transport.resume_reading()

    def _unwatch(self) -> None:
        if self._is_held:
            self._is_held = False
            self._context.hangups.unwatch(self._fd)

    # Answering.

    async def _run(self, exchange: Exchange) -> None:
        try:
            await self._context.app(exchange.scope(), exchange.receive, exchange.send)
        except Exception:
            log.exception("the application failed")
        if not exchange.is_answered and exchange is self._exchange:
            exchange.is_answered, exchange.status = True, HTTPStatus.INTERNAL_SERVER_ERROR.value
            self._write_last(render_error(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error"))

    def _answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Write the answer of the current request."""
        exchange, transport = self._exchange, self._transport
        if exchange is None or transport.is_closing():
            return
        self._is_last_answer = self._closes_after(exchange, headers)
        line = CLOSE if self._is_last_answer else KEEP_ALIVE if exchange.head.version == "1.0" else b""
        head = render_head(status, headers, line)
        if len(body) <= JOINED_BYTES:
            transport.write(head + body)
        else:
            transport.writelines([head, body])
        if self._is_write_paused:
            self._enter(State.WRITING, self._context.deadlines.write)
            self._takes_answer()
        else:
            self._after_answer()

    def _closes_after(self, exchange: Exchange, headers: Headers) -> bool:
        return (
            not exchange.head.keeps_alive
            or not exchange.body.is_complete
            or self._context.registry.is_draining
            or self._context.loop.time() >= self._closes_at
            or (b"connection", b"close") in headers
        )

    def _after_answer(self) -> None:
        """The answer is written: go on with the next request, or end."""
        is_whole = self._exchange is not None and self._exchange.body.is_complete
        self._end_exchange()
        early, self._early = self._early, b""
        if self._is_last_answer:
            self._close_gently(has_unread=not is_whole or bool(early) or self._is_held)
            return
        self._wait_for_request(self._context.deadlines.keep_alive)
        if early:
            self._read_head(early)
        if self._state is not State.REQUEST:
            self._resume()

    def _refuse(self, error: ServingError) -> None:
        """Answer what is no request of HTTP/1.1."""
        self._context.registry.refused()
        is_version = isinstance(error, UnsupportedVersion)
        status = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED if is_version else HTTPStatus.BAD_REQUEST
        self._write_last(render_error(status, str(error)))

    def _write_last(self, answer: bytes) -> None:
        self._transport.write(answer)
        self._end_exchange()
        self._close_gently(has_unread=True)

    def _close_gently(self, has_unread: bool) -> None:
        """Close once the answer is sent.

        If the client may still be sending, its bytes are read and dropped for a while. Otherwise the kernel would
        reset the connection, and the client might never see the answer.
        """
        deadlines = self._context.deadlines
        self._enter(State.CLOSING, deadlines.close if has_unread else deadlines.write)
        self._takes_answer()
        if has_unread:
            self._resume()
            self._transport.write_eof()
        else:
            self._transport.close()

    def _end_exchange(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.body.release()
            self._context.registry.ended(exchange)

    def _takes_answer(self) -> bool:
        """Whether the client has taken bytes of the answer since the last call."""
        before, self._unwritten = self._unwritten, self._transport.get_write_buffer_size()
        return self._unwritten < before

    def _enter(self, state: State, seconds: float) -> None:
        """Change the state. ``seconds``: how long it may last."""
        if self._state is State.IDLE and state is not State.IDLE:
            self._context.registry.busy(self)
        self._state = state
        self._deadline = self._context.loop.time() + seconds


_NOT_CONNECTED = asyncio.Transport()
"""Stands in until the event loop hands over the real one, before it calls anything else."""


def refuse_other_protocols(data: bytes) -> None:
    """Refuse what cannot become a head, such as the beginning of TLS. Raises ``MalformedRequest``."""
    line, newline, _ = data.partition(b"\n")
    if (data and not data[:1].isalpha()) or (newline and not line.endswith(b"\r")):
        raise MalformedRequest("the request is not valid HTTP/1.1")
