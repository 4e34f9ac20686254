"""Bearer tokens: who gets in, by the header's bytes."""

from __future__ import annotations

import asyncio

import pytest
from falcon.asgi import Request, Response
from falcon.testing import create_asgi_req

from runtime.api.auth import BearerAuth
from runtime.errors import Unauthorized

TOKENS = frozenset({"one", "sésame", "voilà", "🔑"})


def request(header: bytes | None, path: str = "/vectors") -> Request:
    """As a server hands it over: header values are bytes."""
    req = create_asgi_req(path=path)
    if header is not None:
        req._asgi_headers[b"authorization"] = header
    return req


def is_let_in(header: bytes | None, path: str = "/vectors") -> bool:
    try:
        asyncio.run(BearerAuth(TOKENS).process_request(request(header, path), Response()))
    except Unauthorized:
        return False
    return True


@pytest.mark.parametrize("token", sorted(TOKENS))
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_every_token_lets_in_in_utf_8(token: str, scheme: str):
    assert is_let_in(f"{scheme} {token}".encode())


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer two",
        b"Bearer one two",
        b"Bearer one,",
        b"Basic one",
        b"one",
        "Bearer sésame".encode("latin-1"),
        "Bearer voilà".encode()[:-1],
        b"Bearer \xff\xfe",
    ],
)
def test_nothing_else_does(header: bytes | None):
    assert not is_let_in(header)


def test_probes_are_open():
    assert is_let_in(None, "/.well-known/live")
