"""The mean of a text's rows, beside numpy's of all of them at once."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.static.mean import Mean

TEXT, PADDING, COUNT = [3, 1, 4, 1, 5], 0, 123


class Rows:
    """A table in memory, with or without a factor in float64 for each row."""

    def __init__(self, dtype: str, weighted: bool) -> None:
        source = np.random.default_rng(7)
        self._table = (source.normal(size=(6, 16)) * 20).astype(dtype)
        self._weights = source.normal(size=(6, 1)) if weighted else None
        self.width = 16

    def rows(self, ids: list[int]) -> np.ndarray:
        rows = self._table[ids]
        return rows if self._weights is None else rows * self._weights[ids]

    def row(self, token: int) -> np.ndarray:
        return self.rows([token])[0]


@pytest.fixture(params=[(dtype, weighted) for dtype in ("f4", "f2", "i1") for weighted in (False, True)], ids=str)
def table(request: pytest.FixtureRequest) -> Rows:
    return Rows(*request.param)


@pytest.mark.parametrize("text", [TEXT, []], ids=["a text", "no text"])
def test_padding_counts_as_each_of_its_rows_does(table: Rows, text: list[int]):
    mean = Mean(table)
    mean.add(text)
    mean.add_padding(PADDING, COUNT)
    expected = table.rows(text + [PADDING] * COUNT).mean(axis=0)
    assert mean.count == len(text) + COUNT
    assert mean.value.dtype == expected.dtype
    if expected.dtype == np.float64:
        np.testing.assert_allclose(mean.value, expected, rtol=1e-12, atol=1e-12)
    else:
        np.testing.assert_array_equal(mean.value, expected)


def test_no_padding_changes_nothing(table: Rows):
    mean = Mean(table)
    mean.add(TEXT)
    before = mean.value
    mean.add_padding(PADDING, 0)
    assert mean.count == len(TEXT)
    np.testing.assert_array_equal(mean.value, before)
