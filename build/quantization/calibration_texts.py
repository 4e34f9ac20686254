"""Holds the texts on which weights are prepared; verification never sees them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from build.paths import DATA

FILE = DATA / "calibration.txt"

MOST_TOKENS = 256
"""Of one text; longer ones are cut. What activations look like has settled long before."""

ALL_TOKENS = 10_000
"""Of all texts together: more of them change the prepared weights less than another choice of texts would."""


def calibration_texts() -> list[str]:
    """One text a line: queries, sentences and paragraphs in many languages, code, oddities."""
    return FILE.read_text(encoding="utf-8").splitlines()


def calibration_ids(tokenizer: Tokenizer, prompts: Sequence[str], max_tokens: int) -> list[NDArray[np.int64]]:
    """Token ids of the calibration texts, in file order until there are enough tokens, each at most ``max_tokens``.

    A text begins with no prompt or with one of the model's, in turn.
    """
    chosen: list[NDArray[np.int64]] = []
    tokens = 0
    for text, prompt in zip(calibration_texts(), cycle(["", *prompts]), strict=False):
        ids = np.array(tokenizer.encode(prompt + text).ids[: min(max_tokens, MOST_TOKENS)], dtype=np.int64)
        if tokens + len(ids) > ALL_TOKENS:
            break
        if len(ids):
            chosen.append(ids)
            tokens += len(ids)
    return chosen
