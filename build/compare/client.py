"""Asks one container for vectors, by the contract of Weaviate's local vectorizers, over one keep-alive connection."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

import numpy as np
from numpy.typing import NDArray

from build.errors import BuildError, ContainerRefused, ContainerUnreachable, NoVector

ANSWER_SECONDS = 60.0
"""Weaviate's client gives up after 50."""

MAX_ANSWER_BYTES = 1 << 26
SHOWN_CHARACTERS = 60
TOKEN_VARIABLE = "OLD_TOKEN"
TOKEN_NEEDED = f"set {TOKEN_VARIABLE} to a bearer token that it accepts"
NO_SUCH_PATH = "there is no POST /vectors below this address"
HINTS = {401: TOKEN_NEEDED, 403: TOKEN_NEEDED, 404: NO_SUCH_PATH, 405: NO_SUCH_PATH}


class VectorsClient:
    """``name`` is what messages call the container."""

    def __init__(self, name: str, address: str, token: str | None = None, seconds: float = ANSWER_SECONDS) -> None:
        """Raises ``ContainerUnreachable`` for what is no address, ``BuildError`` for what is no token."""
        parts = parse_address(address)
        self._name, self._seconds = f"{name} at {address}", seconds
        self._path = f"{parts.path.rstrip('/')}/vectors"
        self._headers = {"Content-Type": "application/json", **_authorization(token)}
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=seconds)
        self._dim: int | None = None

    def close(self) -> None:
        self._connection.close()

    def embed(self, text: str, config: Mapping[str, str]) -> NDArray[np.float32]:
        """The vector, (dim,). Raises ``ContainerUnreachable``, ``ContainerRefused`` or ``NoVector``."""
        status, answer = self._post(json.dumps({"text": text, "config": config}).encode())
        shown = repr(text[:SHOWN_CHARACTERS])
        if status != http.client.OK:
            said = HINTS.get(status, f"{_said(answer)} (for {shown})")
            raise ContainerRefused(f"{self._name} answered {status}: {said}")
        vector = _vector(answer)
        if vector is None:
            raise NoVector(f"{self._name} answered {shown} without a vector of finite numbers: {_said(answer)}")
        if self._dim not in (None, len(vector)):
            raise NoVector(
                f"{self._name} answered {shown} with {len(vector)} components, and texts before with {self._dim}"
            )
        self._dim = len(vector)
        return vector

    def _post(self, body: bytes) -> tuple[int, bytes]:
        try:
            try:
                return self._exchange(body)
            except (http.client.HTTPException, ConnectionError):
                # NOTE: the other side may close a kept connection at any time, also while this request is on its way.
                self._connection.close()
                return self._exchange(body)
        except TimeoutError:
            raise ContainerUnreachable(f"{self._name} did not answer within {self._seconds:g} s") from None
        except (http.client.HTTPException, OSError, UnicodeError) as error:
            raise ContainerUnreachable(f"the connection to {self._name} failed: {_reason(error)}") from None

    def _exchange(self, body: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", self._path, body, self._headers)
        with self._connection.getresponse() as response:
            answer = response.read(MAX_ANSWER_BYTES + 1)
            left = response.length
        if len(answer) > MAX_ANSWER_BYTES:
            raise NoVector(f"{self._name} answered with more than {MAX_ANSWER_BYTES} bytes")
        if left:
            raise http.client.IncompleteRead(answer, left)  # NOTE: http.client itself does so for read() alone.
        return response.status, answer


def parse_address(address: str) -> SplitResult:
    """The parts of ``http[s]://host[:port][/path]``, without the ``/vectors`` that may end it.

    Raises ``ContainerUnreachable``. What stands in front of the host might be a password, and is not repeated.
    """
    try:
        parts = urlsplit(address.removesuffix("/").removesuffix("/vectors"))
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if sound and "@" in parts.netloc:
        raise ContainerUnreachable("an address with a name or password in it is not taken: use a bearer token")
    plain = address.isascii() and address.isprintable() and " " not in address
    if not sound or not plain or parts.query or parts.fragment:
        shown = "" if "@" in address else f"{address!r} "
        raise ContainerUnreachable(f"{shown}is not the address of a container: give one like http://localhost:8080")
    return parts


def _authorization(token: str | None) -> dict[str, str]:
    """The token itself is in no message."""
    token = (token or "").strip()
    if not token:
        return {}
    if not token.isascii() or not token.isprintable():
        raise BuildError(f"{TOKEN_VARIABLE} holds characters that no bearer token has")
    return {"Authorization": f"Bearer {token}"}


def _vector(answer: bytes) -> NDArray[np.float32] | None:
    try:
        values: Any = json.loads(answer)["vector"]
        if not values or any(type(value) not in (int, float) for value in values):
            return None
        with np.errstate(over="ignore"):
            vector = np.asarray(values, dtype=np.float64).astype(np.float32)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return vector if np.isfinite(vector).all() else None


def _said(answer: bytes) -> str:
    """What an answer says went wrong: its ``error``, else its beginning."""
    text = answer[:2000].decode(errors="replace").strip()
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        text = str(json.loads(answer)["error"])
    return text[:200] or "an empty answer"


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({getattr(error, 'verify_message', '') or error.reason})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
