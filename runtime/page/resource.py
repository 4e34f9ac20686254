"""Answers ``GET /`` with the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from falcon.asgi import Request, Response

from runtime.page.document import Page

PAGE_PATH = "/"


class Posted(Protocol):
    """A resource that answers POST requests."""

    async def on_post(self, req: Request, resp: Response) -> None:
        """Answer one."""


class PageResource:
    """``endpoint``: what answers POST requests of the same path, where there is one.

    ``operations``: what GET and POST requests are told of.
    """

    def __init__(self, page: Page, endpoint: Posted | None = None, operations: Mapping[str, Any] | None = None) -> None:
        self._page, self.operations = page, operations or {}
        if endpoint is not None:
            # NOTE: falcon allows the methods that a resource has.
            self.on_post = endpoint.on_post

    async def on_get(self, req: Request, resp: Response) -> None:
        write_page(self._page, resp)

    async def on_head(self, req: Request, resp: Response) -> None:
        write_page(self._page, resp)


def is_for_a_person(req: Request) -> bool:
    """Whether a browser asks for the page, rather than a program for something else."""
    return req.path == PAGE_PATH and req.method in ("GET", "HEAD") and "text/html" in (req.get_header("Accept") or "")


def write_page(page: Page, resp: Response) -> None:
    """Answer with the page, which knows nothing of the model: its script asks for that."""
    document = page.document
    resp.data = document.body
    resp.content_type = "text/html; charset=utf-8"
    resp.set_header("Content-Security-Policy", document.policy)
    resp.set_header("X-Content-Type-Options", "nosniff")
    resp.set_header("Referrer-Policy", "no-referrer")
    resp.set_header("Cache-Control", "no-cache")
