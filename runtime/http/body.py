"""The body of one request: it waits for its turn, is read under a deadline, and gives its memory back."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Protocol

from runtime.errors import BodyTimeout, BodyTooLarge, ServingError, Unavailable
from runtime.http.decoder import BodyDecoder
from runtime.http.limits import BYTES_PER_BODY_BYTE, SMALL_ANSWER, SMALL_BODY, TINY_BODY, Deadlines
from runtime.http.share import Lease, Share


class Link(Protocol):
    """What a body asks of its connection."""

    def hold(self) -> None:
        """Leave in the socket what arrives."""

    def go_on(self) -> None:
        """Pass on what arrives, from now on."""


@dataclass(frozen=True)
class BodyRules:
    """The same for all bodies of a server."""

    max_bytes: int
    deadlines: Deadlines
    small: Share
    large: Share
    answers: Share


class IncomingBody:
    """Implements ``api.body.RequestBody``. Belongs to the event loop's thread."""

    def __init__(self, decoder: BodyDecoder, announced: int | None, rules: BodyRules, link: Link, now: float) -> None:
        """``announced``: Content-Length, None for a chunked body. ``now``: when the head was complete."""
        self._decoder, self._announced, self._rules, self._link = decoder, announced, rules, link
        seconds = rules.deadlines.request
        self.deadline = None if seconds is None else now + seconds
        self._progress_at = now
        self._lease: Lease | None = None
        self._answer: Lease | None = None
        self._is_its_turn = self._is_reading = False
        self._deadline = math.inf
        self._ready: asyncio.Future[None] | None = None
        self._error: ServingError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the last byte has arrived."""
        return self._decoder.is_complete

    @property
    def wants_data(self) -> bool:
        """Whether what arrives now is to be passed on: a little before its turn, all of it then."""
        return self._is_reading or (self._ready is None and self._decoder.size < TINY_BODY)

    async def read(self) -> bytes:
        """The whole body, once.

        Raises ``BodyTooLarge`` (by Content-Length before anything is read), ``BodyTimeout``, ``MalformedRequest``, and
        ``Unavailable`` where its turn does not come in time.
        """
        if self._announced is not None and self._announced > self._rules.max_bytes:
            raise BodyTooLarge.beyond(self._rules.max_bytes)
        if self._error is not None:
            raise self._error
        if self._expected > TINY_BODY:
            self._lease = self._share.lease(BYTES_PER_BODY_BYTE * self._expected, self._begin)
        self._is_its_turn = self._lease is None or self._lease.is_granted
        if self._is_its_turn and self._decoder.is_complete:
            return self._decoder.content()
        self._ready = asyncio.get_running_loop().create_future()
        if self._is_its_turn:
            self._begin()
        else:
            self._deadline = math.inf if self.deadline is None else self.deadline
            self._link.hold()
        await self._ready
        return self._decoder.content()

    def keep(self, size: int) -> None:
        """Keep only so many bytes of the memory, which is known once the body has been parsed."""
        if self._lease is not None:
            self._lease.shrink(size)

    async def reserve(self, size: int) -> None:
        """Wait for the memory of a large answer, which is kept until the client has taken it.

        Raises ``Unavailable`` at the deadline.
        """
        if size <= SMALL_ANSWER:
            return
        # NOTE: who holds memory for an answer waits for none, so that those who wait here for it have their turn.
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer = self._rules.answers.lease(size, lambda: granted.set_result(None))
        if self._answer.is_granted:
            return
        try:
            async with asyncio.timeout_at(self.deadline):
                await granted
        except TimeoutError:
            raise Unavailable.not_begun(self._rules.deadlines.request or 0) from None

    def release(self) -> None:
        """Give all memory back: the request is over."""
        self._is_reading = False
        for lease in (self._lease, self._answer):
            if lease is not None:
                lease.release()
        # NOTE: these refer to the body. With it, they would keep its bytes until they are collected.
        self._lease = self._answer = self._ready = self._error = None

    def feed(self, data: bytes, now: float) -> bytes:
        """Take what belongs to the body, and return what follows it. An error is raised by ``read``."""
        self._progress_at = now
        try:
            rest = self._decoder.feed(data)
        except ServingError as error:
            self._fail(error)
            return b""
        if self._decoder.is_complete:
            self._resolve()
        return rest

    def postpone(self, seconds: float) -> None:
        """Add time to the deadlines, for which nobody could do anything."""
        self._deadline += seconds
        self._progress_at += seconds
        if self.deadline is not None:
            self.deadline += seconds

    def check(self, now: float) -> None:
        """Fail where a deadline is over."""
        deadlines = self._rules.deadlines
        if now >= self._deadline:
            if self._is_reading:
                self._fail(BodyTimeout(f"the body did not arrive within {deadlines.body:g} seconds"))
            else:
                self._fail(
                    Unavailable(f"no memory for the body within {deadlines.request:g} seconds (REQUEST_TIMEOUT)")
                )
        elif self._is_reading and self._share.is_contended and now >= self._progress_at + deadlines.stall:
            self._fail(BodyTimeout(f"no byte of the body arrived for {deadlines.stall:g} seconds, and others wait"))

    @property
    def _expected(self) -> int:
        """Bytes; of a chunked body, as many as there may be."""
        if self._decoder.is_complete:
            return self._decoder.size
        return self._rules.max_bytes if self._announced is None else self._announced

    @property
    def _share(self) -> Share:
        return self._rules.small if self._expected <= SMALL_BODY else self._rules.large

    def _begin(self) -> None:
        """It is this body's turn."""
        self._is_its_turn = True
        if self._decoder.is_complete:
            self._resolve()
            return
        self._is_reading = True
        self._progress_at = asyncio.get_running_loop().time()
        self._deadline = self._progress_at + self._rules.deadlines.body
        self._link.go_on()

    def _resolve(self) -> None:
        if self._is_its_turn:
            self._is_reading, self._deadline = False, math.inf
            if self._ready is not None and not self._ready.done():
                self._ready.set_result(None)

    def _fail(self, error: ServingError) -> None:
        self._is_reading, self._deadline = False, math.inf
        self._error = error
        if self._lease is not None:
            self._lease.release()
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(error)
        self._link.hold()
