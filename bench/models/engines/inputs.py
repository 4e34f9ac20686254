"""What padded graphs take as inputs for one text, and how the outputs of several texts are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Text(NamedTuple):
    """A text, or a pair of texts."""

    ids: Sequence[int]
    types: Sequence[int] | None = None
    """Which of two texts each token belongs to; None for a single text."""


Ids = NDArray[np.int64]
"""Token ids of one text, (1, tokens)."""

TYPES = "token_type_ids"

INPUTS: dict[str, Callable[[Ids], Ids]] = {
    "input_ids": lambda ids: ids,
    "attention_mask": np.ones_like,
    TYPES: np.zeros_like,
    "position_ids": lambda ids: np.arange(ids.shape[1], dtype=np.int64)[np.newaxis],
}
"""By the input's name, its value for a single text; a pair of texts has types of its own."""


def feed(names: Iterable[str], text: Text) -> dict[str, Ids]:
    """Raises ``KeyError`` for an input that is not among ``INPUTS``."""
    ids = np.array([text.ids], dtype=np.int64)
    values = {name: INPUTS[name](ids) for name in names}
    if text.types is not None and TYPES in values:
        values[TYPES] = np.array([text.types], dtype=np.int64)
    return values


def join(outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(tokens of all texts, width). PERF: a single output is not copied."""
    return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
