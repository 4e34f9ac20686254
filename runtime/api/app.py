"""Builds the HTTP application from finished collaborators, so that a test can build one without a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from falcon.asgi import App

from runtime.api import error_handlers
from runtime.api.auth import BearerAuth
from runtime.api.endpoint import Endpoint, EndpointResource
from runtime.api.error_handlers import ErrorShape
from runtime.api.meta import MetaResource
from runtime.api.openapi.operation import PAGE, Described
from runtime.api.openapi.resource import OpenApiResource
from runtime.api.paths import HEALTH_PATH, LIVE_PATH, META_PATH, OPENAPI_PATH, READY_PATH
from runtime.api.probes import HealthResource, LiveResource, ReadyResource
from runtime.page.document import Page
from runtime.page.resource import PAGE_PATH, PageResource
from runtime.readiness import Readiness


def create_app(
    endpoints: Mapping[str, Endpoint[Any]],
    meta: Mapping[str, Any],
    readiness: Readiness,
    allowed_tokens: frozenset[str] = frozenset(),
    documents: Mapping[str, Mapping[str, Any]] | None = None,
    error_shapes: Mapping[str, ErrorShape] | None = None,
    others: Mapping[str, Described] | None = None,
    page: Page | None = None,
) -> App:
    """The ASGI application. ``endpoints`` by path; ``meta`` is what ``/meta`` answers. A final slash is ignored.

    ``documents``: what else GET requests are answered, by path. ``error_shapes``: by path, as of ``error_handlers``.
    ``others``: Falcon resources by path. ``page``: the one for people at ``/``, where there is to be one.
    """
    app = App(middleware=[BearerAuth(allowed_tokens)] if allowed_tokens else [])
    app.req_options.strip_url_path_trailing_slash = True
    shapes = error_shapes or {}
    openapi = OpenApiResource()
    posted = {path: EndpointResource(endpoint, readiness) for path, endpoint in endpoints.items()}
    routes: dict[str, Described] = {
        **posted,
        META_PATH: MetaResource(meta),
        **{path: MetaResource(document) for path, document in (documents or {}).items()},
        **(others or {}),
        OPENAPI_PATH: openapi,
        HEALTH_PATH: HealthResource(readiness),
        LIVE_PATH: LiveResource(),
        READY_PATH: ReadyResource(readiness),
    }
    if page is not None:
        endpoint = posted.get(PAGE_PATH)
        operations = {"get": PAGE, **(endpoint.operations if endpoint is not None else {})}
        routes[PAGE_PATH] = PageResource(page, endpoint, operations)
    for path, resource in routes.items():
        app.add_route(path, resource)
    error_handlers.register(app, paths=tuple(routes), shapes=shapes, page=page)
    openapi.describe(routes, shapes, needs_token=bool(allowed_tokens))
    return app
