"""Chooses the few texts on which a server proves itself before it turns ready."""

from __future__ import annotations

from collections.abc import Callable

from tokenizers import Tokenizer

from build.fidelity.requests import Candidate
from manifest import Task, TextModel

PLAIN = "The ferry to the island leaves at seven in the morning."
CHINESE_AND_JAPANESE = "图书馆今天几点关门? 駅の近くに静かな喫茶店があります。"
WORDS = "a b c river stone paper green walk seven light under market"

MOST_TOKENS = 512
"""A window beyond this is not filled: a server would spend its start on one text (8,192 tokens take a minute)."""


def choose_golden_texts(model: TextModel, tokenizer_of: Callable[[str], Tokenizer]) -> list[Candidate]:
    """For each encoder the empty text, one in Latin and one in CJK script, and one that fills the window.

    Then one text with each prompt, by its name and by the task that it belongs to.
    """
    chosen = []
    for task in model.route_tasks:
        name = model.encoder_name(task)
        window = min(model.encoders[name].max_tokens, MOST_TOKENS)
        tokenizer = tokenizer_of(name)
        texts = ["", PLAIN, CHINESE_AND_JAPANESE, fill_window(tokenizer, window)]
        # NOTE: without special tokens an empty text has none at all, for which the original has no vector.
        chosen += [Candidate(text, task) for text in texts if tokenizer.encode(text).ids]
    chosen += [Candidate(PLAIN, model.route_tasks[0], name) for name in sorted(model.prompts)]
    chosen += [Candidate(PLAIN, Task(task)) for task in sorted(model.tasks)]
    return list(dict.fromkeys(chosen))


def fill_window(tokenizer: Tokenizer, max_tokens: int) -> str:
    """A text of ``max_tokens`` tokens with special tokens, or as close below as these words come."""

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
