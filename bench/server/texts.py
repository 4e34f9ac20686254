"""Makes the texts that are sent: as many as needed, all distinct, and the same ones for the same seed."""

from __future__ import annotations

import random
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

    def __str__(self) -> str:
        return f"{self.low}–{self.high} words"


SHORT = Length("short", 6, 20)
LONG = Length("long", 80, 120)


def words() -> list[str]:
    """This project's own list of everyday English words."""
    return WORDS_FILE.read_text(encoding="ascii").split()


def make_texts(length: Length, count: int, seed: str) -> list[str]:
    """``count`` distinct texts of random words in sentences. They are ASCII, and JSON escapes nothing in them."""
    source = random.Random(seed)
    vocabulary = words()
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[_sentences(source.choices(vocabulary, k=source.randint(length.low, length.high)), source)] = None
    return list(texts)


def _sentences(chosen: list[str], source: random.Random) -> str:
    sentences = []
    start = 0
    while start < len(chosen):
        end = start + source.randint(*SENTENCE_WORDS)
        sentence = " ".join(chosen[start:end])
        sentences.append(f"{sentence[0].upper()}{sentence[1:]}.")
        start = end
    return " ".join(sentences)
