"""What can be done with a text that has more tokens than a window."""

from __future__ import annotations

from enum import StrEnum


class LongText(StrEnum):
    """The values of the setting ``LONG_TEXT``."""

    CHUNK = "chunk"
    """Embed it window by window, and average the windows' vectors."""
    TRUNCATE = "truncate"
    """Embed its beginning, as sentence-transformers does."""
    ERROR = "error"
    """Refuse it."""
