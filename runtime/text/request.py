"""The request for a vector: a text with everything decided. Nothing after this point checks it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manifest import PoolingMode, Task, TextModel


@dataclass(frozen=True)
class EmbedRequest:
    """A text, and how it is embedded."""

    text: str
    encoder: str
    """The name of the encoder."""
    prompt: str
    """The text to prepend."""
    pooling: tuple[PoolingMode, ...]
    skipped_tokens: int
    """How many leading tokens pooling skips."""
    dimensions: int | None
    """The components to keep; None keeps all."""
    refuses_long: bool = False
    """Whether a text with more tokens than a window is refused, whatever ``LONG_TEXT`` says."""
    is_query: bool = field(default=False, compare=False)
    """Whether somebody waits for a search, which decides who is served first and nothing about the vector."""

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> EmbedRequest:
        """The request whose fields were written as JSON."""
        return cls(**{**fields, "pooling": tuple(map(PoolingMode, fields["pooling"]))})


def default_request(
    model: TextModel, text: str, task: Task | None = None, prompt_name: str | None = None
) -> EmbedRequest | None:
    """The request for a text as the model declares it; None where the model needs a task to choose an encoder."""
    resolved = model.resolve(task, prompt_name)
    if resolved is None:
        return None
    return EmbedRequest(
        text=text,
        encoder=resolved.encoder,
        prompt=resolved.prompt,
        pooling=model.encoders[resolved.encoder].pooling.modes,
        skipped_tokens=resolved.skipped_tokens,
        dimensions=None,
        is_query=task is Task.QUERY,
    )
