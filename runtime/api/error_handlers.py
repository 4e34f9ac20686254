"""Maps domain errors to HTTP: the only module that knows which error has which status code."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import falcon
import orjson
from falcon.asgi import App, Request, Response

from runtime import errors
from runtime.page.document import Page
from runtime.page.resource import is_for_a_person, write_page
from runtime.trace_context import HEADER, trace_id

ErrorShape = Callable[[str, int], dict[str, Any]]
"""The JSON of an error, from its sentence and its status."""

STATUS: dict[type[Exception], str] = {
    errors.InvalidRequest: falcon.HTTP_400,
    errors.UnknownModel: falcon.HTTP_404,
    errors.Unauthorized: falcon.HTTP_401,
    errors.BodyTimeout: falcon.HTTP_408,
    errors.BodyTooLarge: falcon.HTTP_413,
    errors.MalformedRequest: falcon.HTTP_400,
    errors.Unavailable: falcon.HTTP_503,
}
UNREAD_BODY = (errors.Unauthorized, errors.BodyTimeout, errors.BodyTooLarge, errors.MalformedRequest)
"""After these the body may not have been read, so the connection cannot be used again."""

RETRY_AFTER_SECONDS = 5

log = logging.getLogger("cpu2vec")


def one_sentence(sentence: str, status: int) -> dict[str, Any]:
    """The shape of errors where an API has no other."""
    return {"error": sentence}


def register(app: App, paths: Sequence[str], shapes: Mapping[str, ErrorShape], page: Page | None = None) -> None:
    """Give every error the shape of its path in ``shapes``, or ``{"error": "<one sentence>"}``.

    ``paths``: what the server has, named in a 404. ``page``: asks a person for the token that is missing.
    """
    ErrorHandlers(paths, shapes, page).register(app)


class ErrorHandlers:
    """Falcon's handlers of errors."""

    def __init__(self, paths: Sequence[str], shapes: Mapping[str, ErrorShape], page: Page | None) -> None:
        self._not_found = f"no such path; this server has {', '.join(paths[:-1])} and {paths[-1]}"
        self._shapes, self._page = shapes, page

    def register(self, app: App) -> None:
        """Make the application use them."""
        app.add_error_handler(errors.ServingError, self._answer_serving_error)
        app.add_error_handler(falcon.HTTPError, self._answer_http_error)
        app.add_error_handler(Exception, self._answer_unexpected)

    async def _answer_http_error(self, req: Request, resp: Response, error: falcon.HTTPError, params: object) -> None:
        """Falcon's own: an unknown path, or a method that the path does not have."""
        sentences = {404: self._not_found, 405: f"the method {req.method} is not allowed for this path"}
        for name, value in (error.headers or {}).items():
            resp.set_header(name, value)
        sentence = sentences.get(error.status_code, error.title or "the request cannot be answered")
        self._write(req, resp, error.status, sentence)

    async def _answer_serving_error(self, req: Request, resp: Response, error: Exception, params: object) -> None:
        status = STATUS.get(type(error))
        if status is None:
            await self._answer_unexpected(req, resp, error, params)
            return
        self._write(req, resp, status, str(error))
        if isinstance(error, errors.Unauthorized):
            resp.set_header("WWW-Authenticate", "Bearer")
            if self._page is not None and is_for_a_person(req):
                write_page(self._page, resp)
        if isinstance(error, errors.Unavailable):
            resp.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
        if isinstance(error, UNREAD_BODY):
            resp.set_header("Connection", "close")

    async def _answer_unexpected(self, req: Request, resp: Response, error: Exception, params: object) -> None:
        request_id = secrets.token_hex(8)
        header = req.get_header(HEADER)
        trace = trace_id(header.encode("latin-1")) if header else None
        log.error("request %s failed: %s", request_id, error, exc_info=error, extra={"trace_id": trace})
        self._write(req, resp, falcon.HTTP_500, f"internal error, logged as request {request_id}")

    def _write(self, req: Request, resp: Response, status: str, sentence: str) -> None:
        resp.status = status
        resp.content_type = falcon.MEDIA_JSON
        shape = self._shapes.get(req.path, one_sentence)
        resp.data = orjson.dumps(shape(sentence, int(status[:3])))
