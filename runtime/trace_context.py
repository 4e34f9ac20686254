"""Reads the header ``traceparent``, by which a caller says which trace a request belongs to (W3C Trace Context)."""

from __future__ import annotations

import re

HEADER = "traceparent"

_FIELDS = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")

NO_VERSION = b"ff"
NO_TRACE, NO_PARENT = b"0" * 32, b"0" * 16


def trace_id(header: bytes | None) -> str | None:
    """The id of the trace, 32 hexadecimal digits; None where the header is absent or not valid.

    Versions that do not exist yet are read as the first one, behind which they may have more.
    """
    fields = _FIELDS.fullmatch(header or b"")
    if fields is None:
        return None
    version, trace, parent, more = fields.groups()
    if version == NO_VERSION or trace == NO_TRACE or parent == NO_PARENT or (version == b"00" and more is not None):
        return None
    found: bytes = trace
    return found.decode()
