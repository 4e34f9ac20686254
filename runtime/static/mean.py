"""The mean of a text's rows, row after row, so that a text in parts has the bits of the whole."""

from __future__ import annotations

import numpy as np

from runtime.static.table import Array, Table

BLOCK = 1024
"""So many rows are in memory at once."""


class Mean:
    """The mean of the rows that were added, as ``numpy.mean`` computes it from all of them at once."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._total: Array | None = None
        self._type: np.dtype[np.generic] = np.dtype(np.float64)
        self.count = 0
        """How many rows were added."""

    def add(self, ids: list[int]) -> None:
        """Add the rows of these tokens."""
        for start in range(0, len(ids), BLOCK):
            rows = self._table.rows(ids[start : start + BLOCK])
            self._type, sums = rows.dtype, _type_of_sums(rows.dtype)
            if self._total is not None:
                rows = np.concatenate([self._total[None], rows], dtype=sums)
            self._total = np.add.reduce(rows, axis=0, dtype=sums)
        self.count += len(ids)

    def add_padding(self, token: int, count: int) -> None:
        """Add the row of one token so many times.

        PERF: most rows of a short text may be padding. In float64, a row times their number differs from their sum by
        some 1e-14 of it; in float32 that would show, so that there they are summed.
        """
        if not count:
            return
        row = self._table.row(token)
        if _type_of_sums(row.dtype) != np.float64:
            self.add([token] * count)
            return
        self._type, total = row.dtype, row * np.float64(count)
        self._total = total if self._total is None else self._total + total
        self.count += count

    @property
    def value(self) -> Array:
        """(width,); zeros where there was no row."""
        if self._total is None:
            return np.zeros(self._table.width, dtype=np.float32)
        mean: Array = self._total / self.count
        return mean.astype(np.float16) if self._type == np.float16 else mean


def _type_of_sums(rows: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """The type in which numpy's mean sums: a wider one for halves and whole numbers."""
    if rows == np.float16:
        return np.dtype(np.float32)
    return np.dtype(np.float64) if rows.kind in "iu" else rows
