"""Answers ``GET /openapi.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import falcon
import orjson
from falcon.asgi import Request, Response

from manifest import project_version
from runtime.api.error_handlers import ErrorShape
from runtime.api.openapi.document import document
from runtime.api.openapi.operation import Described, Operation
from runtime.api.openapi.schemas import object_of


class OpenApiResource:
    """Is one of the routes that it describes, and so is told of them last."""

    operations: ClassVar = {"get": Operation("This description", answer=object_of({}))}

    def __init__(self) -> None:
        self._body = b"{}"

    def describe(self, routes: Mapping[str, Described], shapes: Mapping[str, ErrorShape], needs_token: bool) -> None:
        """As ``document``."""
        self._body = orjson.dumps(document(routes, project_version(), shapes, needs_token))

    async def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_JSON
        resp.data = self._body
