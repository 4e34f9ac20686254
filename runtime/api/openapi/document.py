"""Writes the description of a server's routes (OpenAPI 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from runtime.api.error_handlers import ErrorShape, one_sentence
from runtime.api.openapi.operation import JSON, Described, Operation
from runtime.api.openapi.schemas import Schema, like

OPENAPI = "3.1.0"
TOKEN = "token"
"""The name of the only way to authenticate."""


def document(
    routes: Mapping[str, Described], version: str, shapes: Mapping[str, ErrorShape], needs_token: bool
) -> dict[str, Any]:
    """The description of the ``routes``, by path. ``shapes``: those of errors, by path where it is a special one."""
    paths = {
        path: {
            method: _operation(operation, shapes.get(path, one_sentence), needs_token and not operation.is_open)
            for method, operation in resource.operations.items()
        }
        for path, resource in routes.items()
    }
    described = {"openapi": OPENAPI, "info": {"title": "cpu2vec", "version": version}, "paths": paths}
    if needs_token:
        described["components"] = {"securitySchemes": {TOKEN: {"type": "http", "scheme": "bearer"}}}
    return described


def _operation(operation: Operation, shape: ErrorShape, needs_token: bool) -> dict[str, Any]:
    errors = sorted({*operation.errors, *((HTTPStatus.UNAUTHORIZED,) if needs_token else ())})
    request = {"requestBody": {"required": True, "content": _content(operation.request)}} if operation.request else {}
    return {
        "summary": operation.summary,
        **({"security": [{TOKEN: []}]} if needs_token else {}),
        **request,
        "responses": {
            **_success(operation),
            **{str(int(status)): _error(HTTPStatus(status), shape) for status in errors},
        },
    }


def _success(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        return {str(int(HTTPStatus.NO_CONTENT)): {"description": HTTPStatus.NO_CONTENT.phrase}}
    content = _content(operation.answer, operation.media_type)
    return {str(int(HTTPStatus.OK)): {"description": HTTPStatus.OK.phrase, "content": content}}


def _error(status: HTTPStatus, shape: ErrorShape) -> dict[str, Any]:
    return {"description": status.phrase, "content": _content(like(shape("a sentence", status)))}


def _content(schema: Schema, media_type: str = JSON) -> dict[str, Any]:
    return {media_type: {"schema": schema}}
