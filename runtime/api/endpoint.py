"""An endpoint answers the POST requests of one path; its Falcon resource reads bodies and writes answers."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import falcon
from falcon.asgi import Request, Response

from runtime.api.body import BodyLimits, read_body
from runtime.errors import Unavailable
from runtime.readiness import Readiness, State

Item = TypeVar("Item")


class Endpoint(Protocol[Item]):
    """Bytes in, bytes out. Knows nothing of HTTP, so that golden requests take the same way as all others."""

    def parse(self, body: bytes) -> Item:
        """The checked request. Raises ``InvalidRequest`` that names the field and what it accepts."""

    def fits(self, item: Item) -> bool:
        """Whether the request is within this server's limits, so that its answer is the original's."""

    async def answer(self, item: Item) -> bytes:
        """The JSON of the answer. Raises ``ServingError``."""


class EndpointResource:
    """The Falcon resource of an endpoint."""

    def __init__(self, endpoint: Endpoint[Any], readiness: Readiness, limits: BodyLimits) -> None:
        self._endpoint, self._readiness, self._limits = endpoint, readiness, limits

    async def on_post(self, req: Request, resp: Response) -> None:
        item = self._endpoint.parse(await read_body(req, self._limits))
        if self._readiness.state is State.DRAINING:
            resp.set_header("Connection", "close")
        if not self._readiness.is_ready:
            raise Unavailable(f"the server is {self._readiness.state}")
        resp.data = await self._endpoint.answer(item)
        resp.content_type = falcon.MEDIA_JSON
