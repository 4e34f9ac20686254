"""Answers the probes: whether the process responds, and whether it is ready."""

from __future__ import annotations

from typing import ClassVar

import falcon
from falcon.asgi import Request, Response

from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import object_of
from runtime.errors import Unavailable
from runtime.readiness import Readiness

READY = "Whether requests are answered"


class LiveResource:
    operations: ClassVar = {"get": Operation("Whether the process responds", answer=None, is_open=True)}

    async def on_get(self, req: Request, resp: Response) -> None:
        resp.status = falcon.HTTP_204


class HealthResource:
    """text-embeddings-inference's probe, which says the same as ``ReadyResource``."""

    operations: ClassVar = {"get": Operation(READY, answer=object_of({}), errors=(503,), is_open=True)}

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def on_get(self, req: Request, resp: Response) -> None:
        if not self._readiness.is_ready:
            raise Unavailable(f"the server is {self._readiness.state}")
        resp.content_type = falcon.MEDIA_JSON
        resp.data = b"{}"


class ReadyResource:
    operations: ClassVar = {"get": Operation(READY, answer=None, errors=(503,), is_open=True)}

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def on_get(self, req: Request, resp: Response) -> None:
        if not self._readiness.is_ready:
            raise Unavailable(f"the server is {self._readiness.state}")
        resp.status = falcon.HTTP_204
