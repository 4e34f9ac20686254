"""Makes the texts that are sent: as many as needed, all distinct, and the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WORDS_FILE = Path(__file__).with_name("words.txt")
SENTENCE_WORDS = (6, 14)


@dataclass(frozen=True)
class Length:
    """Texts of ``low`` to ``high`` words, both included; each number of words is equally likely."""

    name: str
    low: int
    high: int
    title: str = ""
    """How reports call it, if not by its words."""

    def __str__(self) -> str:
        return self.title or f"{self.low}–{self.high} words"


SHORT = Length("short", 6, 20)
LONG = Length("long", 80, 120)
EIGHT_KB = Length("8kb", 1270, 1310, "8 kB")


def words() -> list[str]:
    """This project's own list of everyday English words."""
    return WORDS_FILE.read_text(encoding="ascii").split()


def endless_texts(length: Length, seed: str) -> Iterator[str]:
    """Texts of random words in sentences. They are ASCII, and JSON escapes nothing in them.

    Six words or more are so unlikely to come twice that nobody will see it.
    """
    source = random.Random(seed)
    vocabulary = words()
    while True:
        yield _sentences(source.choices(vocabulary, k=source.randint(length.low, length.high)), source)


def _sentences(chosen: list[str], source: random.Random) -> str:
    sentences = []
    start = 0
    while start < len(chosen):
        end = start + source.randint(*SENTENCE_WORDS)
        sentence = " ".join(chosen[start:end])
        sentences.append(f"{sentence[0].upper()}{sentence[1:]}.")
        start = end
    return " ".join(sentences)
