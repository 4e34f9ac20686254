"""Requests vectors from an inference container over one keep-alive connection."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from build.command_line import clip
from build.errors import ContainerRefused, ContainerUnreachable, NoVector

MAX_ANSWER_BYTES = 1 << 26
"""Longer answers are not read to their end."""

CLIPPED_TEXT = 60
"""Messages show this many characters of a text."""

CLIPPED_ERROR = 200
"""Messages show this many characters of a container's own error."""


class VectorsClient:
    """A connection to one container, opened by the first request. Messages call the container ``name``."""

    def __init__(
        self,
        name: str,
        address: str,
        *,
        seconds: float,
        headers: Mapping[str, str] | None = None,
        hints: Mapping[int, str] | None = None,
    ) -> None:
        """Take an ``address`` such as ``http://host:8080/path``, without ``/vectors``.

        ``seconds`` limits each answer, and ``headers`` go with each request. Messages show ``hints`` in place of what
        the container says when it answers with these statuses.
        """
        parts = urlsplit(address)
        self.name, self._seconds, self._hints = name, seconds, hints or {}
        self._path = parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=seconds)
        self._dim: int | None = None

    def close(self) -> None:
        self._connection.close()

    def is_ready(self) -> bool:
        """Whether the container reports that it is ready; False while nothing answers."""
        try:
            status, _ = self._exchange("GET", "/.well-known/ready")
        except (http.client.HTTPException, OSError):
            self._connection.close()
            return False
        return status == http.client.NO_CONTENT

    def embed(self, body: Mapping[str, Any]) -> NDArray[np.float32]:
        """The vector for a request's ``text``, (dim,).

        Raises ``ContainerUnreachable``, ``ContainerRefused`` or ``NoVector``.
        """
        return self.vector("/vectors", body, lambda answer: answer["vector"], repr(clip(body["text"], CLIPPED_TEXT)))

    def vector(
        self, route: str, body: Mapping[str, Any], pick: Callable[[Any], Any], subject: str
    ) -> NDArray[np.float32]:
        """The vector that ``pick`` finds in the answer to ``body``, which messages call ``subject``; (dim,).

        All vectors of a container have one size. Raises as ``embed``.
        """
        answer = self.post(route, body, subject)
        vector = _vector_of(answer, pick)
        if vector is None:
            raise NoVector(f"{self.name} answered {subject} without a vector of finite numbers: {_error_of(answer)}")
        if self._dim not in (None, len(vector)):
            raise NoVector(
                f"{self.name} answered {subject} with {len(vector)} components, and earlier ones with {self._dim}"
            )
        self._dim = len(vector)
        return vector

    def post(self, route: str, body: Mapping[str, Any], subject: str) -> bytes:
        """What a 200 answers to ``body``, which messages call ``subject``.

        Raises ``ContainerUnreachable`` or ``ContainerRefused``.
        """
        status, answer = self._post(route, json.dumps(body).encode())
        if status != http.client.OK:
            message = self._hints.get(status, f"{_error_of(answer)} (for {subject})")
            raise ContainerRefused(f"{self.name} answered {status}: {message}", status)
        return answer

    def _post(self, route: str, body: bytes) -> tuple[int, bytes]:
        try:
            try:
                return self._exchange("POST", route, body)
            except (http.client.HTTPException, ConnectionError):
                # NOTE: the other side may close a kept connection at any time, even while this request is on its way.
                self._connection.close()
                return self._exchange("POST", route, body)
        except TimeoutError:
            raise ContainerUnreachable(f"{self.name} did not answer within {self._seconds:g} s") from None
        except (http.client.HTTPException, OSError, UnicodeError) as error:
            raise ContainerUnreachable(f"the connection to {self.name} failed: {_reason(error)}") from None

    def _exchange(self, method: str, route: str, body: bytes | None = None) -> tuple[int, bytes]:
        self._connection.request(method, self._path + route, body, self._headers)
        with self._connection.getresponse() as response:
            answer = response.read(MAX_ANSWER_BYTES + 1)
            left = response.length
        if len(answer) > MAX_ANSWER_BYTES:
            raise NoVector(f"{self.name} answered with more than {MAX_ANSWER_BYTES} bytes")
        if left:
            raise http.client.IncompleteRead(answer, left)  # NOTE: http.client itself raises it for read() alone.
        return response.status, answer


def _vector_of(answer: bytes, pick: Callable[[Any], Any]) -> NDArray[np.float32] | None:
    try:
        values: Any = pick(json.loads(answer))
        if not values or any(type(value) not in (int, float) for value in values):
            return None
        with np.errstate(over="ignore"):
            vector = np.asarray(values, dtype=np.float64).astype(np.float32)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None
    return vector if np.isfinite(vector).all() else None


def _error_of(answer: bytes) -> str:
    """The ``error`` of an answer, or else its beginning."""
    text = answer[:2000].decode(errors="replace").strip()
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        text = str(json.loads(answer)["error"])
    return clip(text, CLIPPED_ERROR) or "an empty answer"


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({getattr(error, 'verify_message', '') or error.reason})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
