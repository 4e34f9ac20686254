"""Stands in for scheduler and engine behind the HTTP application, at the seam that an endpoint offers."""

from __future__ import annotations

import numpy as np
from falcon.asgi import App

from runtime.api.app import create_app
from runtime.api.body import BodyLimits
from runtime.api.vectors import VectorsEndpoint
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

    async def __call__(self, request: EmbedRequest) -> np.ndarray:
        self.requests.append(request)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome[: request.dimensions]


def fake_app(
    encoder: FakeEncoder,
    readiness: Readiness,
    limits: BodyLimits,
    allowed_tokens: frozenset[str] = frozenset(),
) -> App:
    """The application with ``/vectors`` around ``encoder``."""
    endpoint = VectorsEndpoint(encoder, lambda request: True, MODEL, honor_pooling_strategy=False)
    return create_app({"/vectors": endpoint}, META, readiness, limits, allowed_tokens)
