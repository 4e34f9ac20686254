"""What inference accepts: the token ids of several texts, concatenated, with their lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

    @classmethod
    def of(cls, ids: list[int], types: NDArray[np.int64] | None = None) -> TokenBatch:
        """Return the batch of one text."""
        return cls(np.asarray(ids, dtype=np.int64), np.asarray([len(ids)], dtype=np.int64), types)

    @property
    def token_types(self) -> NDArray[np.int64]:
        """The type of each token, (sum of lengths,)."""
        return np.zeros_like(self.ids) if self.types is None else self.types

    @classmethod
    def joined(cls, batches: Sequence[TokenBatch]) -> TokenBatch:
        """Return all texts of the batches, in order."""
        if len(batches) == 1:
            return batches[0]
        return cls(
            np.concatenate([batch.ids for batch in batches]),
            np.concatenate([batch.lengths for batch in batches]),
            # PERF: most batches have no types, and need no array of zeros.
            None if all(batch.types is None for batch in batches) else np.concatenate([b.token_types for b in batches]),
        )
