"""Lets in requests with an allowed bearer token; the probes stay open, and with them ``/health``."""

from __future__ import annotations

import hmac

from falcon.asgi import Request, Response

from runtime.api.paths import HEALTH_PATH, OPEN_PREFIX
from runtime.errors import Unauthorized


class BearerAuth:
    """Falcon middleware. Compares in constant time with every token, so that timing tells nothing of any."""

    def __init__(self, allowed_tokens: frozenset[str]) -> None:
        self._allowed = tuple(token.encode() for token in sorted(allowed_tokens))

    async def process_request(self, req: Request, resp: Response) -> None:
        """Raises ``Unauthorized``."""
        if req.path == HEALTH_PATH or req.path.startswith(OPEN_PREFIX):
            return
        scheme, _, token = (req.get_header("Authorization") or "").partition(" ")
        # NOTE: falcon has decoded the header's bytes as Latin-1, whatever they are.
        given = token.strip(" \t").encode("latin-1")
        matches = [hmac.compare_digest(given, allowed) for allowed in self._allowed]
        if scheme.lower() != "bearer" or not any(matches):
            raise Unauthorized("Unauthorized")
