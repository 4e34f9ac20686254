"""What a route does, as far as its callers need to know: requests and answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from runtime.api.openapi.schemas import ANYTHING, STRING, Schema

JSON = "application/json"


@dataclass(frozen=True)
class Operation:
    """A method of a path."""

    summary: str
    request: Schema | None = None
    """Of the JSON that is sent; None: nothing is."""
    answer: Schema | None = field(default_factory=lambda: ANYTHING)
    """Of what comes back; None: nothing does."""
    media_type: str = JSON
    """Of the answer."""
    errors: Collection[int] = ()
    """Status codes of refusals, besides those of a wrong token."""
    is_open: bool = False
    """Whether it needs no token."""


PAGE = Operation("A page for people", answer=STRING, media_type="text/html")


class Described(Protocol):
    """A Falcon resource that says what it does."""

    @property
    def operations(self) -> Mapping[str, Operation]:
        """By method, in lower case."""
