"""Connects to a running container at the address and with the token that the user gave."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

from build.errors import ContainerUnreachable, InvalidOption
from build.fidelity.client import VectorsClient

ANSWER_SECONDS = 60.0
"""The default limit for one answer. Weaviate's client gives up after 50 s."""

VECTORS, RERANK, VECTORIZE = "/vectors", "/rerank", "/vectorize"
"""The routes of containers that embed texts, of rerankers, and of those that embed texts and images."""

ROUTES = (VECTORS, RERANK, VECTORIZE)


class Role(StrEnum):
    """Which of the two containers one is."""

    OLD = "old"
    NEW = "new"

    @property
    def token_variable(self) -> str:
        """The environment variable with its bearer token."""
        return f"{self.upper()}_TOKEN"


@dataclass(frozen=True)
class Container:
    """A running container, and how to reach it."""

    address: str
    token: str | None = None
    """The bearer token that goes with each request."""
    role: Role = Role.OLD

    def __str__(self) -> str:
        return self.address


def connect(container: Container, seconds: float = ANSWER_SECONDS, route: str = VECTORS) -> VectorsClient:
    """A client of the container, which will be asked for ``route``.

    Raises ``ContainerUnreachable`` for what is not an address, and ``InvalidOption`` for what cannot be a token.
    """
    role, address = container.role, container.address
    base, headers = parse_address(address, role).geturl(), _authorization(container)
    token_needed = f"set {role.token_variable} to a bearer token that it accepts"
    no_such_path = f"there is no POST {route} below this address"
    hints = {401: token_needed, 403: token_needed, 404: no_such_path, 405: no_such_path}
    return VectorsClient(f"the {role} container at {address}", base, seconds=seconds, headers=headers, hints=hints)


def parse_address(address: str, role: Role = Role.OLD) -> SplitResult:
    """The parts of ``http[s]://host[:port][/path]``, without the route that may end it.

    Raises ``ContainerUnreachable``. What is before the host might be a password, and is not repeated.
    """
    try:
        base = address.removesuffix("/")
        parts = urlsplit(next((base.removesuffix(route) for route in ROUTES if base.endswith(route)), base))
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if valid and "@" in parts.netloc:
        raise ContainerUnreachable(f"the {role} container's address must not hold a password: use a bearer token")
    plain = address.isascii() and address.isprintable() and " " not in address
    if not valid or not plain or parts.query or parts.fragment:
        not_this = "" if "@" in address else f", not {address!r}"
        raise ContainerUnreachable(f"the {role} container's address must be like http://localhost:8080{not_this}")
    return parts


def _authorization(container: Container) -> dict[str, str]:
    """The header for the token, which no message shows."""
    token = (container.token or "").strip()
    if not token:
        return {}
    if not token.isascii() or not token.isprintable():
        raise InvalidOption(f"{container.role.token_variable} must be a bearer token: printable ASCII characters")
    return {"Authorization": f"Bearer {token}"}
