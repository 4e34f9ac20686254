"""The rows of a static model's tokens, mapped from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifest import BundleError, Reading, StaticModel

Array = NDArray[Any]


class Table:
    """Tokens to rows. The file is mapped read-only, so that processes share its pages. Thread-safe."""

    def __init__(self, directory: Path, model: StaticModel) -> None:
        """Raises ``BundleError`` for a file that is missing, damaged, or does not fit the others."""
        self._rows = _open(directory, model.table, 2)
        self._scales = _open(directory, model.scales, 1) if model.scales else None
        self._weights = _open(directory, model.weights, 1) if model.weights else None
        self._mapping = _open(directory, model.mapping, 1) if model.mapping else None
        self._converts = model.reading is Reading.SENTENCE_TRANSFORMERS and self._rows.dtype != np.float32
        self._last_row: tuple[int, Array] | None = None
        self.width: int = self._rows.shape[1]
        """Components of a row."""
        self.tokens: int = len(self._rows if self._mapping is None else self._mapping)
        """How many tokens have a row."""
        self._check(model)

    def rows(self, ids: list[int]) -> Array:
        """(tokens, width): the row of each token, times its factors, in the type that numpy promotes them to."""
        indices = np.array(ids, dtype=np.intp)
        of_rows = indices if self._mapping is None else self._mapping.take(indices)
        rows: Array = self._rows.take(of_rows, axis=0)
        if self._converts:
            rows = rows.astype(np.float32)
        if self._scales is not None:
            rows = rows * self._scales.take(of_rows)[:, None]
        if self._weights is not None:
            rows = rows * self._weights.take(indices)[:, None]
        return rows

    def row(self, token: int) -> Array:
        """(width,): as ``rows``.

        PERF: the row of padding is asked for with every text, and kept.
        """
        known = self._last_row
        if known is None or known[0] != token:
            known = self._last_row = (token, self.rows([token])[0])
        return known[1]

    def _check(self, model: StaticModel) -> None:
        rows = len(self._rows)
        if self._scales is not None and len(self._scales) != rows:
            raise BundleError(f"{model.scales} must have {rows} numbers, one for each row, not {len(self._scales)}")
        if self._weights is not None and len(self._weights) < self.tokens:
            raise BundleError(f"{model.weights} must have {self.tokens} numbers or more, not {len(self._weights)}")
        if self._mapping is not None and self.tokens and not 0 <= self._mapping.min() <= self._mapping.max() < rows:
            raise BundleError(f"{model.mapping} refers to a row that {model.table} does not have")


def _open(directory: Path, name: str, dimensions: int) -> Array:
    try:
        mapped = np.load(directory / name, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BundleError(f"{name} cannot be read: {error}") from None
    if mapped.ndim != dimensions or mapped.dtype.kind not in "fiu":
        raise BundleError(f"{name} must be an array of numbers with {dimensions} dimension(s)")
    # PERF: a plain view of the same pages; numpy's memmap does some work of its own at each access.
    return np.asarray(mapped)
