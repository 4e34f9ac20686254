"""The request for the vectors of many texts, and the groups of texts that are a job each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from runtime.errors import InvalidRequest

Array = NDArray[Any]

TakeRows = Callable[[Array], None]
"""Takes some vectors, (texts, dim)."""


@dataclass(frozen=True)
class BatchRequest:
    """Texts that are embedded in the same way."""

    texts: Sequence[str]
    field: str
    """What messages call the list of texts; or the text, where it is no list."""
    is_list: bool
    like: Any
    """The request for one of them, whose text does not count; ``is_query`` decides who is served first."""
    take_rows: TakeRows | None = None
    """Is given the vectors of the first texts, a few at a time, while others are computed. Maybe not all of them."""


@dataclass(frozen=True)
class Group:
    """Texts of a request that one job embeds."""

    texts: Sequence[str]
    names: Sequence[str]
    """What messages call each of them."""
    like: Any

    def named(self, index: int, error: InvalidRequest) -> InvalidRequest:
        """The error of a text, with its name in front."""
        return InvalidRequest(f"{self.names[index]}: {error}")


@dataclass(frozen=True)
class Embedded:
    """The vectors of several texts."""

    vectors: Array
    """(texts, dim), float32; of some static models float64."""
    tokens: Sequence[int]
    """How many each text has, with special tokens and prompt."""
