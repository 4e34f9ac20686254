"""Makes texts whose lengths are log-uniform: as many from 10 to 100 bytes as from 100 to 1,000."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

from bench.load.texts import words

SHORTEST_BYTES, LONGEST_BYTES = 4, 20_000
"""A word, and what a long paragraph of an import has at most."""

MEAN_WORD_BYTES = 4
"""Less than the words' mean with the space, so that there are always enough of them."""


def log_uniform(source: random.Random, low: int = SHORTEST_BYTES, high: int = LONGEST_BYTES) -> int:
    """A number from ``low`` to ``high``, both included."""
    return round(math.exp(source.uniform(math.log(low), math.log(high))))


def text_of(size: int, source: random.Random, vocabulary: Sequence[str]) -> str:
    """Random words with spaces between them, cut to so many bytes. It is ASCII, and JSON escapes nothing in it."""
    text = " ".join(source.choices(vocabulary, k=size // MEAN_WORD_BYTES + 1))
    while len(text) < size:
        text = f"{text} {source.choice(vocabulary)}"
    return text[:size].rstrip().ljust(size, "s")


def endless_texts(seed: str) -> Iterator[str]:
    """Texts without end, and the same ones for the same seed."""
    source, vocabulary = random.Random(seed), words()
    while True:
        yield text_of(log_uniform(source), source, vocabulary)
