"""Maps domain errors to HTTP: the only module that knows which error has which status code."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence

import falcon
import orjson
from falcon.asgi import App, Request, Response

from runtime import errors

STATUS: dict[type[Exception], str] = {
    errors.InvalidRequest: falcon.HTTP_400,
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


def register(app: App, paths: Sequence[str]) -> None:
    """Give every error the shape ``{"error": "<one sentence>"}``. ``paths``: what the server has, named in a 404."""
    not_found = f"no such path; this server has {', '.join(paths[:-1])} and {paths[-1]}"

    async def answer_http_error(req: Request, resp: Response, error: falcon.HTTPError, params: object) -> None:
        """Falcon's own: an unknown path, or a method that the path does not have."""
        sentences = {404: not_found, 405: f"the method {req.method} is not allowed for this path"}
        for name, value in (error.headers or {}).items():
            resp.set_header(name, value)
        _write(resp, error.status, sentences.get(error.status_code, error.title or "the request cannot be answered"))

    app.add_error_handler(errors.ServingError, _answer_serving_error)
    app.add_error_handler(falcon.HTTPError, answer_http_error)
    app.add_error_handler(Exception, _answer_unexpected)


async def _answer_serving_error(req: Request, resp: Response, error: Exception, params: object) -> None:
    status = STATUS.get(type(error))
    if status is None:
        await _answer_unexpected(req, resp, error, params)
        return
    _write(resp, status, str(error))
    if isinstance(error, errors.Unauthorized):
        resp.set_header("WWW-Authenticate", "Bearer")
    if isinstance(error, errors.Unavailable):
        resp.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
    if isinstance(error, UNREAD_BODY):
        resp.set_header("Connection", "close")


async def _answer_unexpected(req: Request, resp: Response, error: Exception, params: object) -> None:
    request_id = secrets.token_hex(8)
    log.error("request %s failed: %s", request_id, error, exc_info=error)
    _write(resp, falcon.HTTP_500, f"internal error, logged as request {request_id}")


def _write(resp: Response, status: str, sentence: str) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = orjson.dumps({"error": sentence})
