"""The request for a static model's vector. Nothing after this point checks it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StaticRequest:
    """A text, and how it is embedded."""

    text: str
    prompt: str
    """The text to prepend."""
    dimensions: int | None
    """The components to keep; None keeps all."""
    refuses_long: bool = False
    """Whether a text beyond a limit is refused, whatever ``LONG_TEXT`` says."""
    is_query: bool = field(default=False, compare=False)
    """Whether somebody waits for a search, which decides who is served first and nothing about the vector."""

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> StaticRequest:
        """The request whose fields were written as JSON."""
        return cls(**fields)
