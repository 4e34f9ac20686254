"""Chooses the few texts on which a server proves itself before it turns ready."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer

from manifest import Task

PLAIN = "The ferry to the island leaves at seven in the morning."
CHINESE_AND_JAPANESE = "图书馆今天几点关门? 駅の近くに静かな喫茶店があります。"
WORDS = "a b c river stone paper green walk seven light under market"


@dataclass(frozen=True)
class Candidate:
    text: str
    task: Task | None


def choose_golden_texts(tokenizer: Tokenizer, max_tokens: int, tasks: dict[str, str]) -> list[Candidate]:
    """The empty text, one in Latin and one in CJK script, one that fills the window, and one for each task's prompt."""
    texts = ["", PLAIN, CHINESE_AND_JAPANESE, fill_window(tokenizer, max_tokens)]
    return [Candidate(text, None) for text in texts] + [Candidate(PLAIN, Task(task)) for task in sorted(tasks)]


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
