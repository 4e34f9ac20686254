"""The calibration texts, as token ids; verification never sees these texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from build.paths import DATA

CALIBRATION_FILE = DATA / "calibration.txt"

MAX_TOKENS_PER_TEXT = 256
"""Longer texts are truncated: activation statistics have settled long before."""

MAX_TOKENS = 10_000
"""All texts together have at most this many tokens: more change the weights less than other texts would."""


@dataclass(frozen=True)
class TokenPair:
    """Two texts that a model reads together."""

    ids: NDArray[np.int64]
    """Of both texts, with special tokens."""
    types: NDArray[np.int64]
    """Which text each token belongs to, as the tokenizer says it."""


def calibration_texts() -> list[str]:
    """Read one text per line: queries, sentences and paragraphs in many languages, code, oddities."""
    return CALIBRATION_FILE.read_text(encoding="utf-8").splitlines()


def calibration_ids(tokenizer: Tokenizer, prompts: Sequence[str], max_tokens: int) -> list[NDArray[np.int64]]:
    """Tokenize the calibration texts in file order until there are enough tokens, at most ``max_tokens`` per text.

    In turn, texts begin without a prompt and with each of the model's.
    """
    chosen: list[NDArray[np.int64]] = []
    tokens = 0
    for text, prompt in zip(calibration_texts(), cycle(["", *prompts]), strict=False):
        ids = np.array(tokenizer.encode(prompt + text).ids[: min(max_tokens, MAX_TOKENS_PER_TEXT)], dtype=np.int64)
        if tokens + len(ids) > MAX_TOKENS:
            break
        if len(ids):
            chosen.append(ids)
            tokens += len(ids)
    return chosen


def calibration_pairs(tokenizer: Tokenizer, max_tokens: int) -> list[TokenPair]:
    """Pair each calibration text with the next until there are enough tokens, at most ``max_tokens`` per pair."""
    texts = calibration_texts()
    tokenizer.enable_truncation(min(max_tokens, MAX_TOKENS_PER_TEXT))
    chosen: list[TokenPair] = []
    tokens = 0
    for pair in pairwise(texts):
        encoding = tokenizer.encode(*pair)
        tokens += len(encoding.ids)
        if tokens > MAX_TOKENS:
            break
        chosen.append(TokenPair(np.array(encoding.ids, dtype=np.int64), np.array(encoding.type_ids, dtype=np.int64)))
    return chosen
