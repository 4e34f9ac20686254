"""Defines the value that inference takes: the token ids of several texts, concatenated, with their lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TokenBatch:
    """``ids`` is int64 of shape (sum of lengths,); ``lengths`` is int64 of shape (texts,), each at least 1."""

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, ids: list[int]) -> TokenBatch:
        """The batch of one text."""
        return cls(np.asarray(ids, dtype=np.int64), np.asarray([len(ids)], dtype=np.int64))

    @classmethod
    def joined(cls, batches: Sequence[TokenBatch]) -> TokenBatch:
        """All texts of the batches, in order."""
        if len(batches) == 1:
            return batches[0]
        return cls(
            np.concatenate([batch.ids for batch in batches]), np.concatenate([batch.lengths for batch in batches])
        )
