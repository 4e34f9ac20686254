"""Answers the routes: each responder parses, hands over and encodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import falcon
import numpy as np
import orjson
from falcon.asgi import Request, Response
from numpy.typing import NDArray

from manifest import TextModel
from runtime.api.body import read_body
from runtime.api.limits import Limits
from runtime.errors import Unavailable
from runtime.readiness import Readiness, State
from runtime.text.request import EmbedRequest, parse_body

Embed = Callable[[EmbedRequest], Awaitable[NDArray[np.float32]]]


class LiveResource:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.status = falcon.HTTP_204


class ReadyResource:
    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def on_get(self, req: Request, resp: Response) -> None:
        if not self._readiness.is_ready:
            raise Unavailable(f"the server is {self._readiness.state}")
        resp.status = falcon.HTTP_204


class MetaResource:
    def __init__(self, meta: dict[str, Any]) -> None:
        self._body = orjson.dumps(meta)

    async def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_JSON
        resp.data = self._body


class VectorsResource:
    def __init__(
        self, embed: Embed, model: TextModel, readiness: Readiness, limits: Limits, honor_pooling_strategy: bool
    ) -> None:
        self._embed, self._model, self._readiness, self._limits = embed, model, readiness, limits
        self._honor_pooling_strategy = honor_pooling_strategy

    async def on_post(self, req: Request, resp: Response) -> None:
        body = await read_body(req, self._limits.max_body_bytes, self._limits.body_seconds)
        request = parse_body(body, self._model, self._honor_pooling_strategy)
        if self._readiness.state is State.DRAINING:
            resp.set_header("Connection", "close")
        if not self._readiness.is_ready:
            raise Unavailable(f"the server is {self._readiness.state}")
        vector = await self._embed(request)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = orjson.dumps(
            {"text": request.text, "vector": vector, "dim": len(vector)}, option=orjson.OPT_SERIALIZE_NUMPY
        )
