"""What padded graphs take as inputs for one text, and how the outputs of several texts are joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
"""Token ids of one text, (1, tokens)."""

INPUTS: dict[str, Callable[[Ids], Ids]] = {
    "input_ids": lambda ids: ids,
    "attention_mask": np.ones_like,
    "token_type_ids": np.zeros_like,
    "position_ids": lambda ids: np.arange(ids.shape[1], dtype=np.int64)[np.newaxis],
}
"""By the input's name, its value."""


def feed(names: Iterable[str], text: Sequence[int]) -> dict[str, Ids]:
    """Raises ``KeyError`` for an input that is not among ``INPUTS``."""
    ids = np.array([text], dtype=np.int64)
    return {name: INPUTS[name](ids) for name in names}


def join(outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(tokens of all texts, width). PERF: a single output is not copied."""
    return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
