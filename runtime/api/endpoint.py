"""An endpoint answers the POST requests of one path; its Falcon resource reads bodies and writes answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import falcon
from falcon.asgi import Request, Response

from runtime.api.body import BODY, RequestBody
from runtime.api.openapi.operation import Operation
from runtime.readiness import Readiness

LARGE_BODY = 64 * 1024
"""Larger bodies are parsed one at a time, with a turn for all others in between: a megabyte takes 13 ms."""

MAX_HOLD = 0.001
"""Seconds, after which a body that is parsed in steps gives all others a turn."""

POST_ERRORS = (400, 404, 408, 413, 500, 503)
"""404: another ``model`` than this server's."""

Json = bytes | bytearray
"""The body of an answer."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class LargeAnswer:
    """A parsed request whose answer may be much larger than itself. It waits for the memory of its answer."""

    answer_bytes: int


class Endpoint(Protocol[Item]):
    """Bytes in, bytes out. Knows nothing of HTTP, so that golden requests take the same way as all others."""

    @property
    def operation(self) -> Operation:
        """What it accepts and answers."""

    def parse(self, body: bytes) -> Item:
        """The checked request. Raises ``InvalidRequest`` that names the field and what it accepts."""

    def size(self, item: Item) -> int:
        """Bytes of memory that the request takes."""

    def fits(self, item: Item) -> bool:
        """Whether the request is within this server's limits, so that its answer is the original's."""

    async def answer(self, item: Item, deadline: float | None) -> Json:
        """The JSON of the answer.

        Raises ``ServingError``, such as ``Unavailable`` where work was not begun before the deadline, by the event
        loop's clock.
        """


@runtime_checkable
class ParsesInSteps(Protocol):
    """An endpoint whose bodies may be so large that nobody should wait while one is parsed."""

    def parse_in_steps(self, body: bytes) -> Generator[None, None, Any]:
        """As ``Endpoint.parse``. Yields between steps that take about a millisecond."""


class EndpointResource:
    """The Falcon resource of an endpoint."""

    def __init__(self, endpoint: Endpoint[Any], readiness: Readiness) -> None:
        self._endpoint, self._readiness = endpoint, readiness
        self.operations = {"post": replace(endpoint.operation, errors=POST_ERRORS)}
        self._parsing = asyncio.Lock()

    async def on_post(self, req: Request, resp: Response) -> None:
        body: RequestBody = req.scope[BODY]
        if not self._readiness.can_answer:
            await self._readiness.wait(body.deadline)
        item = await self._item(body)
        if isinstance(item, LargeAnswer):
            await body.reserve(item.answer_bytes)
        # NOTE: Falcon needs no more of it than its length.
        resp.data = cast("bytes", await self._endpoint.answer(item, body.deadline))
        resp.content_type = falcon.MEDIA_JSON

    async def _item(self, body: RequestBody) -> Any:
        data = await body.read()
        size = len(data)
        if size <= LARGE_BODY:
            item = self._endpoint.parse(data)
        else:
            async with self._parsing:
                item = await self._parse_large(data)
                await asyncio.sleep(0)
        # The answer repeats what was sent, so that memory for the body is needed until then.
        body.keep(size + self._endpoint.size(item))
        return item

    async def _parse_large(self, data: bytes) -> Any:
        endpoint = self._endpoint
        if not isinstance(endpoint, ParsesInSteps):
            return endpoint.parse(data)
        steps = endpoint.parse_in_steps(data)
        since = time.monotonic()
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return stop.value
            if time.monotonic() - since >= MAX_HOLD:
                await asyncio.sleep(0)
                since = time.monotonic()
