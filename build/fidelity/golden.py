"""Chooses the few requests that a server checks itself on before it reports ready."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from build.fidelity.requests import VECTORS_ROUTE, VectorRequest
from manifest import GoldenRequest, Task, TextModel, Tolerance

PLAIN = "The ferry to the island leaves at seven in the morning."
CHINESE_AND_JAPANESE = "图书馆今天几点关门? 駅の近くに静かな喫茶店があります。"
WORDS = "a b c river stone paper green walk seven light under market"

MAX_FILLED_TOKENS = 512
"""Larger windows are not filled, because a server would spend its start on one text (a minute for 8,192 tokens)."""

VECTOR_DECIMALS = 8
"""Expected components are rounded to this many decimals."""


def choose_golden_requests(model: TextModel, tokenizer_of: Callable[[str], Tokenizer]) -> list[VectorRequest]:
    """For each encoder the empty text, one in Latin and one in CJK script, and one that fills the window.

    Then one text with each prompt, by its name and by the task that selects it.
    """
    chosen = []
    for task in model.route_tasks:
        name = model.encoder_name(task) or min(model.encoders)
        window = min(model.encoders[name].max_tokens, MAX_FILLED_TOKENS)
        tokenizer = tokenizer_of(name)
        texts = ["", PLAIN, CHINESE_AND_JAPANESE, fill_window(tokenizer, window)]
        # NOTE: without special tokens an empty text has no token at all, and the original no vector for it.
        chosen += [VectorRequest(text, task) for text in texts if tokenizer.encode(text).ids]
    chosen += [VectorRequest(PLAIN, model.route_tasks[0], name) for name in sorted(model.prompts)]
    chosen += [VectorRequest(PLAIN, Task(task)) for task in sorted(model.tasks)]
    return list(dict.fromkeys(chosen))


def golden_request(request: VectorRequest, vector: NDArray[np.float32], min_cosine: float) -> GoldenRequest:
    """``vector``: the original's, (dim,)."""
    components = [round(component, VECTOR_DECIMALS) for component in vector.tolist()]
    return GoldenRequest(VECTORS_ROUTE, request.body, {"vector": components}, Tolerance(min_cosine=min_cosine))


def fill_window(tokenizer: Tokenizer, max_tokens: int) -> str:
    """A text of ``max_tokens`` tokens with special tokens, or as close below as these words get."""

    def count(text: str) -> int:
        return len(tokenizer.encode(text).ids)

    text = ""
    for word in WORDS.split():
        per_word = max(1, count(f"{word} {word}") - count(word))
        repeats = max(0, max_tokens - count(text)) // per_word
        while repeats and count(longer := f"{text} {' '.join([word] * repeats)}".strip()) > max_tokens:
            repeats -= 1
        if repeats:
            text = longer
        if count(text) == max_tokens:
            break
    return text
