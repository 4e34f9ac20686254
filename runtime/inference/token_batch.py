"""What inference accepts: the token ids of several texts, concatenated, with their lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TokenBatch:
    """The token ids of one text or several, concatenated."""

    ids: NDArray[np.int64]
    """Shape (sum of lengths,)."""
    lengths: NDArray[np.int64]
    """Shape (texts,). Each is at least 1."""
    types: NDArray[np.int64] | None = None
    """The type of each token, (sum of lengths,); None: all have the type 0."""
    rows: NDArray[np.int64] | None = None
    """The tokens whose embeddings are wanted, ascending indices of ``ids``; None: all."""
    pooled: NDArray[np.int64] | None = None
    """A vector is wanted of each text, (texts, 3): the mean of its tokens from the first number up to the second one,
    divided by its norm if the third is 1. None: embeddings are wanted."""

    @classmethod
    def of(cls, ids: list[int], types: NDArray[np.int64] | None = None) -> TokenBatch:
        """Return the batch of one text."""
        return cls(np.asarray(ids, dtype=np.int64), np.asarray([len(ids)], dtype=np.int64), types)

    def wanting(self, token: int | None) -> TokenBatch:
        """Return the batch of which this one token is wanted; None: all are."""
        return self if token is None else replace(self, rows=np.asarray([token], dtype=np.int64))

    def pooling(self, tokens: Sequence[tuple[int, int]], normalized: bool) -> TokenBatch:
        """Return the batch of which vectors are wanted: of each text the mean from one token up to another."""
        pooled: NDArray[np.int64] = np.empty((len(tokens), 3), np.int64)
        pooled[:, :2], pooled[:, 2] = tokens, normalized
        return TokenBatch(self.ids, self.lengths, self.types, self.rows, pooled)

    @classmethod
    def of_texts(cls, texts: Sequence[bytes], wanted: Sequence[int | None]) -> TokenBatch:
        """Return the batch of several texts, whose ids are the bytes of int64; ``wanted``: as of ``wanting``, for each.

        PERF: a text takes a fraction of what it takes to join batches of one.
        """
        ids: NDArray[np.int64] = np.frombuffer(b"".join(texts), np.int64)
        lengths = [len(text) // ids.itemsize for text in texts]
        rows = None
        if any(token is not None for token in wanted):
            parts = zip(accumulate(lengths, initial=0), lengths, wanted, strict=False)
            rows = np.fromiter(chain.from_iterable(_wanted_of(*part) for part in parts), np.int64)
        return cls(ids, np.asarray(lengths, dtype=np.int64), rows=rows)

    def split(self, parts: Sequence[tuple[int, int]]) -> list[TokenBatch]:
        """Return batches of texts in a row, as (start, end) of each. They share the memory of this one.

        PERF: a slice takes a fraction of what it takes to make an array.
        """
        starts = list(accumulate(self.lengths.tolist(), initial=0))
        return [self._part(start, end, starts[start], starts[end]) for start, end in parts]

    def _part(self, start: int, end: int, first: int, last: int) -> TokenBatch:
        """The texts from ``start`` up to ``end``, whose tokens are those from ``first`` up to ``last``."""
        return TokenBatch(
            self.ids[first:last],
            self.lengths[start:end],
            None if self.types is None else self.types[first:last],
            None if self.rows is None else self.rows[slice(*np.searchsorted(self.rows, (first, last)))] - first,
            None if self.pooled is None else self.pooled[start:end],
        )

    @property
    def token_types(self) -> NDArray[np.int64]:
        """The type of each token, (sum of lengths,)."""
        return np.zeros_like(self.ids) if self.types is None else self.types

    @property
    def wanted(self) -> int:
        """How many tokens are wanted."""
        return len(self.ids) if self.rows is None else len(self.rows)

    @property
    def wanted_rows(self) -> NDArray[np.int64]:
        """The tokens that are wanted, ascending indices of ``ids``."""
        return np.arange(len(self.ids)) if self.rows is None else self.rows

    @property
    def results(self) -> int:
        """How many rows the result has."""
        return self.wanted if self.pooled is None else len(self.lengths)

    def select(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the embeddings that are wanted of those of all tokens, (sum of lengths, hidden)."""
        return embeddings if self.rows is None else embeddings[self.rows]

    @classmethod
    def joined(cls, batches: Sequence[TokenBatch]) -> TokenBatch:
        """Return all texts of the batches, in order. Of all or none of them, pooled vectors are wanted."""
        if len(batches) == 1:
            return batches[0]
        return cls(
            np.concatenate([batch.ids for batch in batches]),
            np.concatenate([batch.lengths for batch in batches]),
            # PERF: most batches have no types, and need no array of zeros.
            None if all(batch.types is None for batch in batches) else np.concatenate([b.token_types for b in batches]),
            None if all(batch.rows is None for batch in batches) else _joined_rows(batches),
            _joined_pooled(batches),
        )


def _joined_pooled(batches: Sequence[TokenBatch]) -> NDArray[np.int64] | None:
    given = [batch.pooled for batch in batches if batch.pooled is not None]
    return np.concatenate(given) if given else None


def _wanted_of(start: int, length: int, token: int | None) -> Sequence[int]:
    return range(start, start + length) if token is None else (start + token,)


def _joined_rows(batches: Sequence[TokenBatch]) -> NDArray[np.int64]:
    starts = accumulate((len(batch.ids) for batch in batches), initial=0)
    return np.concatenate([batch.wanted_rows + start for batch, start in zip(batches, starts, strict=False)])
