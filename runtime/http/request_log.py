"""Writes a line to the log for each request, at ``LOG_LEVEL=debug``."""

from __future__ import annotations

import logging

from runtime.http.exchange import Exchange
from runtime.trace_context import trace_id

log = logging.getLogger("cpu2vec")


class RequestLog:
    """A line for each request, with the trace that it belongs to if it says so."""

    @staticmethod
    def is_on() -> bool:
        """Whether there are such lines at all."""
        return log.isEnabledFor(logging.DEBUG)

    def ended(self, exchange: Exchange, seconds: float) -> None:
        """The request has its answer, or its client has left; ``seconds``: since its head was there."""
        head = exchange.head
        # NOTE: as sent, so that a path cannot hold a line break. A query could hold a secret.
        path = head.target.partition(b"?")[0].decode("latin-1")
        what = exchange.status or "left"
        log.debug(
            "%s %s %s in %.1f ms",
            head.method,
            path,
            what,
            1000 * seconds,
            extra={"trace_id": trace_id(head.traceparent)},
        )
