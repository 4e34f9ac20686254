"""Answers the probes: whether the process responds, and whether it is ready."""

from __future__ import annotations

import falcon
from falcon.asgi import Request, Response

from runtime.errors import Unavailable
from runtime.readiness import Readiness


class LiveResource:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.status = falcon.HTTP_204


class HealthResource:
    """text-embeddings-inference's probe, which says the same as ``ReadyResource``."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def on_get(self, req: Request, resp: Response) -> None:
        if not self._readiness.is_ready:
            raise Unavailable(f"the server is {self._readiness.state}")
        resp.content_type = falcon.MEDIA_JSON
        resp.data = b"{}"


class ReadyResource:
    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def on_get(self, req: Request, resp: Response) -> None:
        if not self._readiness.is_ready:
            raise Unavailable(f"the server is {self._readiness.state}")
        resp.status = falcon.HTTP_204
