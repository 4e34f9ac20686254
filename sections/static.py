"""The section of static models: a text's vector is the mean of its tokens' rows in a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from sections.base import BundleError, require_name, require_positive
from sections.parts import HEAD_FILE, Layer, normalizes
from sections.text import Task


class Reading(StrEnum):
    """Whose arithmetic a model's files follow."""

    MODEL2VEC = "model2vec"
    """The package model2vec: unknown tokens are dropped, and numbers have the type that the table is stored in."""

    SENTENCE_TRANSFORMERS = "sentence-transformers"
    """A StaticEmbedding in sentence-transformers: every token counts, and numbers are in fp32."""


MAX_PADDING = 65_536


@dataclass(frozen=True)
class Padding:
    """Tokens that the tokenizer puts behind those of each text, and that count as the text's own in model2vec."""

    token: int
    length: int
    """A text has at least so many tokens."""
    multiple_of: int
    """And a multiple of so many; 1: any number."""

    def count(self, tokens: int) -> int:
        """How many padding tokens follow the ``tokens`` of a text."""
        least = max(tokens, self.length)
        return math.ceil(least / self.multiple_of) * self.multiple_of - tokens

    def check(self, name: str) -> None:
        """Raises ``BundleError`` that names the first field whose value cannot be."""
        for field, value in (("token", self.token), ("length", self.length)):
            if value < 0:
                raise BundleError(f"{name}.{field} must be at least 0, not {value}")
        require_positive(f"{name}.multiple_of", self.multiple_of)
        for field, value in (("length", self.length), ("multiple_of", self.multiple_of)):
            if value > MAX_PADDING:
                raise BundleError(f"{name}.{field} must be at most {MAX_PADDING}, not {value}")


@dataclass(frozen=True)
class StaticModel:
    """What the runtime needs to know to turn a text into the original's vector. Arrays are files in numpy's format."""

    dim: int
    """Components of a vector."""
    reading: Reading
    tokenizer: str
    """A file of the bundle."""
    table: str
    """The rows, (rows, width)."""
    scales: str | None
    """Each row's factor, (rows,); None where rows are stored as they are."""
    weights: str | None
    """Each token's factor, (tokens,); None: all are 1."""
    mapping: str | None
    """Each token's row, (tokens,); None: its id is the row."""
    unknown_id: int | None
    """The token that does not count; None: all do."""
    max_tokens: int | None
    """The original reads so many tokens of a text; None: all of them."""
    characters_per_token: int | None
    """Before that, the original cuts a text to ``max_tokens`` times so many characters; None: it does not."""
    tokenizer_limit: int | None
    """The tokenizer itself stops at so many tokens, unknown ones included; None: it does not stop."""
    padding: Padding | None
    """What follows the tokens of a text before unknown tokens are dropped; None: nothing."""
    layers: tuple[Layer, ...]
    """What follows the mean."""
    prompts: dict[str, str]
    """The text that each prompt prepends, by the prompt's name."""
    default_prompt: str | None
    """The name of the prompt of a request without a task."""
    tasks: dict[str, str]
    """The name of the prompt of each task."""

    @property
    def normalizes(self) -> bool:
        """Whether vectors have unit length, unless they are truncated after that."""
        return normalizes(self.layers)

    def prompt(self, task: Task | None, name: str | None = None) -> str:
        """The text to prepend: the prompt ``name``; without a name the task's, or the default without a task."""
        chosen = name or (self.default_prompt if task is None else self.tasks.get(task))
        return "" if chosen is None else self.prompts[chosen]

    def files(self) -> set[str]:
        """The tokenizer, the arrays, and the tensors of layers where they have some."""
        arrays = {self.table, self.scales, self.weights, self.mapping} - {None}
        head = {HEAD_FILE} if any(layer.weight is not None for layer in self.layers) else set()
        return {self.tokenizer, *filter(None, arrays), *head}

    def check(self) -> None:
        """Raises ``BundleError`` that names the first field whose value cannot be."""
        require_positive("static.dim", self.dim)
        for name in ("max_tokens", "characters_per_token", "tokenizer_limit"):
            if (limit := getattr(self, name)) is not None:
                require_positive(f"static.{name}", limit)
        if self.characters_per_token is not None and self.max_tokens is None:
            raise BundleError("static.characters_per_token needs static.max_tokens")
        if self.padding is not None:
            self.padding.check("static.padding")
        for index, layer in enumerate(self.layers):
            layer.check(f"static.layers[{index}]")
        require_name("static.default_prompt", self.default_prompt, self.prompts)
        for task, prompt in self.tasks.items():
            require_name("static.tasks", task, tuple(Task))
            require_name(f"static.tasks.{task}", prompt, self.prompts)
