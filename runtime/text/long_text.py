"""Names what is done with a text that is longer than the model takes."""

from __future__ import annotations

from enum import StrEnum


class LongText(StrEnum):
    CHUNK = "chunk"
    """Embedded window by window, and the windows' vectors averaged."""
    TRUNCATE = "truncate"
    """Its beginning is embedded, as sentence-transformers does."""
    ERROR = "error"
    """Refused."""
