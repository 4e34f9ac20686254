"""Connects to the old container at the address and with the token that the user gave."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from build.errors import ContainerUnreachable, InvalidOption
from build.fidelity.client import VectorsClient

ANSWER_SECONDS = 60.0
"""The default limit for one answer. Weaviate's client gives up after 50 s."""

TOKEN_VARIABLE = "OLD_TOKEN"
TOKEN_NEEDED = f"set {TOKEN_VARIABLE} to a bearer token that it accepts"
VECTORS, RERANK = "/vectors", "/rerank"
"""The routes of containers that embed, and of rerankers."""


def connect(
    address: str, token: str | None = None, seconds: float = ANSWER_SECONDS, route: str = VECTORS
) -> VectorsClient:
    """A client of the old container, which gets the bearer token with each request and will be asked for ``route``.

    Raises ``ContainerUnreachable`` for what is not an address, and ``InvalidOption`` for what cannot be a token.
    """
    base, headers = parse_address(address).geturl(), _authorization(token)
    no_such_path = f"there is no POST {route} below this address"
    hints = {401: TOKEN_NEEDED, 403: TOKEN_NEEDED, 404: no_such_path, 405: no_such_path}
    return VectorsClient(f"the old container at {address}", base, seconds=seconds, headers=headers, hints=hints)


def parse_address(address: str) -> SplitResult:
    """The parts of ``http[s]://host[:port][/path]``, without the route that may end it.

    Raises ``ContainerUnreachable``. What is before the host might be a password, and is not repeated.
    """
    try:
        parts = urlsplit(address.removesuffix("/").removesuffix(VECTORS).removesuffix(RERANK))
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if valid and "@" in parts.netloc:
        raise ContainerUnreachable("the old container's address must not hold a password: use a bearer token")
    plain = address.isascii() and address.isprintable() and " " not in address
    if not valid or not plain or parts.query or parts.fragment:
        not_this = "" if "@" in address else f", not {address!r}"
        raise ContainerUnreachable(f"the old container's address must be like http://localhost:8080{not_this}")
    return parts


def _authorization(token: str | None) -> dict[str, str]:
    """The header for the token, which no message shows."""
    token = (token or "").strip()
    if not token:
        return {}
    if not token.isascii() or not token.isprintable():
        raise InvalidOption(f"{TOKEN_VARIABLE} must be a bearer token: printable ASCII characters")
    return {"Authorization": f"Bearer {token}"}
