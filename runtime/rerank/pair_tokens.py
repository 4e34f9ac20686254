"""A query and a document to the tokens of one run, truncated as the original truncates them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from manifest import BundleError
from runtime.inference.token_batch import TokenBatch
from runtime.scheduling.job import Step
from runtime.text.tokenizer import SEGMENT_CHARACTERS, PairFrame, Tokenizer


@dataclass(frozen=True)
class TextTokens:
    """The first tokens of a text, at least as many as a pair can have, and how many there are."""

    ids: list[int]
    count: int
    """Of a document that is longer than the query and than a pair can be, at least one more than the query has."""


Reading = Generator[Step, object, TextTokens]
"""A text that is being tokenized: each step is a pause."""


class PairTokens:
    """Joins two texts with the special tokens that the model's tokenizer puts around and between them. Thread-safe."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, token_types: bool) -> None:
        """Raises ``BundleError`` where special tokens leave no room for both texts."""
        self._tokenizer, self._token_types = tokenizer, token_types
        self._frame: PairFrame = tokenizer.pair_frame()
        special = len(self._frame.prefix) + len(self._frame.middle) + len(self._frame.suffix)
        self._capacity = max_tokens - special
        self.max_tokens = max_tokens
        if self._capacity < 2:
            raise BundleError(
                f"a pair has {max_tokens} tokens, and special tokens take {special} of them: set MAX_TOKENS higher"
            )

    def query(self, text: str) -> Reading:
        """Tokenize a query to its end, with a pause after each segment."""
        return self._read(text, None)

    def document(self, text: str, query: TextTokens) -> Reading:
        """Tokenize a document, as far as it can matter beside this query."""
        return self._read(text, max(self._capacity, query.count) + 1)

    def tokens(self, query: TextTokens, document: TextTokens) -> int:
        """How many tokens the pair would have without truncation; of a long document, a number above the limit."""
        return query.count + document.count + self.max_tokens - self._capacity

    def join(self, query: TextTokens, document: TextTokens) -> TokenBatch:
        """The pair, of at most ``max_tokens`` tokens."""
        frame = self._frame
        first, second = truncated_lengths(query.count, document.count, self._capacity)
        ids = [*frame.prefix, *query.ids[:first], *frame.middle, *document.ids[:second], *frame.suffix]
        if not self._token_types:
            return TokenBatch.of(ids)
        types = [*frame.prefix_types, *[frame.first_type] * first, *frame.middle_types]
        types += [*[frame.second_type] * second, *frame.suffix_types]
        return TokenBatch.of(ids, np.asarray(types, dtype=np.int64))

    def _read(self, text: str, most: int | None) -> Reading:
        if len(text) <= SEGMENT_CHARACTERS:
            ids = self._tokenizer.plain(text)
            return TextTokens(ids[: self._capacity], len(ids))
        kept: list[int] = []
        count = 0
        for segment in self._tokenizer.segments(text):
            kept += segment.ids[: max(0, self._capacity - len(kept))]
            count += len(segment.ids)
            if most is not None and count >= most:
                break
            yield Step(None, 1)
        return TextTokens(kept, count)


def truncated_lengths(first: int, second: int, capacity: int) -> tuple[int, int]:
    """How many tokens remain of two texts that may have ``capacity`` together: the longer one is cut first.

    Where both are longer than half, each has a half, and of an odd number the longer one has one more; the second does
    if they are equally long. That is ``longest_first`` of the library ``tokenizers``.
    """
    if first + second <= capacity:
        return first, second
    shorter = min(first, second)
    if shorter > capacity // 2:
        shorter = capacity // 2
    longer = capacity - shorter
    return (longer, shorter) if first > second else (shorter, longer)
