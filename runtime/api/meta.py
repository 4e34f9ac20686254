"""Answers ``GET /meta``: the model's own config, the manifest, and what this server makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon
import orjson
from falcon.asgi import Request, Response

from manifest import manifest_fields, project_version
from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import like
from runtime.bundle import Bundle


class MetaResource:
    def __init__(self, meta: Mapping[str, Any], summary: str = "What is served, and how") -> None:
        self._body = orjson.dumps(meta)
        self.operations = {"get": Operation(summary, answer=like(meta))}

    async def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_JSON
        resp.data = self._body


def meta_of(bundle: Bundle, workers: int, serving: Mapping[str, Any]) -> dict[str, Any]:
    """What ``/meta`` answers, the same from each of the ``workers``. Weaviate reads ``model`` and ``model_path``."""
    return {
        "model": bundle.config,
        "model_path": bundle.manifest.model,
        "bundle": manifest_fields(bundle.manifest),
        "serving": {"version": project_version(), "workers": workers, **serving},
    }
