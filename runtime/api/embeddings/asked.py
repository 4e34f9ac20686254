"""What a request asks for, whatever its shape: texts, how they are embedded, and the shape of the answer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from manifest import Task
from runtime.api.embeddings.layout import Layout


@dataclass(frozen=True)
class Served:
    """What requests are checked against."""

    model: str
    """The bundle's id, which answers name."""
    aliases: frozenset[str]
    """Other names for it. Empty: requests may name any model."""
    prompts: Collection[str]
    """The names of the model's prompts."""
    dim: int
    normalizes: bool
    max_texts: int
    """Of one request."""


@dataclass(frozen=True)
class Choice:
    """How the texts of a request are embedded."""

    task: Task | None = None
    prompt_name: str | None = None
    """One of the model's; None: the task decides."""
    dimensions: int | None = None
    refuses_long: bool = False
    """Whether a text over the model's limit is refused, whatever ``LONG_TEXT`` says."""
    special_tokens: bool = True
    """Whether a list of tokens has the special ones."""


@dataclass(frozen=True)
class Asked:
    """A parsed request."""

    texts: Sequence[str]
    field: str
    """What messages call the texts."""
    is_list: bool
    """Whether the request has a list of texts, and not one text."""
    choice: Choice
    layout: Layout
