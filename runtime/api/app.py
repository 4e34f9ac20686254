"""Builds the HTTP application from finished collaborators, so that a test can build one without a model."""

from __future__ import annotations

from typing import Any

from falcon.asgi import App

from manifest import TextModel
from runtime.api import error_handlers as problems
from runtime.api.auth import BearerAuth
from runtime.api.limits import Limits
from runtime.api.resources import Embed, LiveResource, MetaResource, ReadyResource, VectorsResource
from runtime.readiness import Readiness


def create_app(
    embed: Embed,
    model: TextModel,
    meta: dict[str, Any],
    readiness: Readiness,
    limits: Limits,
    allowed_tokens: frozenset[str] = frozenset(),
    honor_pooling_strategy: bool = False,
) -> App:
    """The ASGI application. ``embed`` turns a checked request into its vector; ``meta`` is what ``/meta`` answers."""
    app = App(middleware=[BearerAuth(allowed_tokens)] if allowed_tokens else [])
    problems.register(app)
    vectors = VectorsResource(embed, model, readiness, limits, honor_pooling_strategy)
    app.add_route("/.well-known/live", LiveResource())
    app.add_route("/.well-known/ready", ReadyResource(readiness))
    app.add_route("/meta", MetaResource(meta))
    app.add_route("/vectors", vectors)
    app.add_route("/vectors/", vectors)
    return app
