"""Stands in for scheduler and engine behind the HTTP application, at the seam that an endpoint offers."""

from __future__ import annotations

from typing import Any

import numpy as np
from falcon.asgi import App

from runtime.api.app import create_app
from runtime.api.body import BODY, AsgiApp, Receive, Send
from runtime.api.vectors import VectorsEndpoint
from runtime.page.document import Page
from runtime.readiness import Readiness
from runtime.text.request import EmbedRequest
from tests.support.bundles.text_models import a_text_model

MODEL = a_text_model(dim=3)
META = {"model": {"hidden_size": 3}, "model_path": "org/model", "bundle": {"schema": 1}}
VECTOR = np.array([0.1, -2.5, 1e-9], dtype=np.float32)


class FakeEncoder:
    """Answers every request with the same vector or error, and remembers the requests."""

    def __init__(self, outcome: np.ndarray | Exception = VECTOR) -> None:
        self.outcome = outcome
        self.requests: list[EmbedRequest] = []
        self.deadlines: list[float | None] = []

    async def __call__(self, request: EmbedRequest, deadline: float | None) -> np.ndarray:
        self.requests.append(request)
        self.deadlines.append(deadline)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome[: request.dimensions]


class ArrivedBody:
    """A body that is there as a whole. Implements ``RequestBody``."""

    def __init__(self, content: bytes, deadline: float | None = None) -> None:
        self._content, self.deadline = content, deadline
        self.kept: int | None = None

    async def read(self) -> bytes:
        return self._content

    async def reserve(self, size: int) -> None:
        pass

    def keep(self, size: int) -> None:
        self.kept = size


def with_bodies(app: AsgiApp, deadline: float | None = None) -> AsgiApp:
    """An application that takes bodies from ASGI's events, as falcon's test client sends them."""

    async def receive_all(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        parts, more = [], scope["type"] == "http"
        while more:
            event = await receive()
            parts.append(event.get("body", b""))
            more = event.get("more_body", False)
        whole = b"".join(parts)

        async def receive_again() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        body = {BODY: ArrivedBody(whole, deadline)} if scope["type"] == "http" else {}
        await app(scope | body, receive_again if body else receive, send)

    return receive_all


def fake_app(
    encoder: FakeEncoder,
    readiness: Readiness,
    allowed_tokens: frozenset[str] = frozenset(),
    paths: tuple[str, ...] = ("/vectors",),
    page: Page | None = None,
) -> App:
    """The application with the endpoint of ``/vectors`` at each of the ``paths``, around ``encoder``."""
    endpoint = VectorsEndpoint(encoder, lambda request: True, MODEL, honor_pooling_strategy=False)
    return create_app(dict.fromkeys(paths, endpoint), META, readiness, allowed_tokens, page=page)
