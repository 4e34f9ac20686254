"""Nearest neighbors, held against a search by hand in float64."""

from __future__ import annotations

import numpy as np
import pytest

from build.compare import neighbors
from build.compare.neighbors import shared
from tests.support.compare.vectors import TEXTS, brute_force, vectors


@pytest.mark.parametrize("block_cells", [1, 150, 1 << 22])
@pytest.mark.parametrize("k", [1, 7, TEXTS - 1])
def test_neighbors_are_those_of_a_search_by_hand(monkeypatch: pytest.MonkeyPatch, k: int, block_cells: int):
    """In blocks of one row, of a few that do not divide the texts, and in one block."""
    monkeypatch.setattr(neighbors, "BLOCK_CELLS", block_cells)
    queries, stored = vectors(1) * 3, vectors(2) * np.arange(1, TEXTS + 1, dtype=np.float32)[:, np.newaxis]
    found = neighbors.neighbors(queries, stored, k)
    assert found.shape == (TEXTS, k)
    assert [set(row) for row in found.tolist()] == brute_force(queries, stored, k)


def test_of_equal_neighbors_the_first_ones_count():
    stored = np.repeat(vectors(1, texts=1), 6, axis=0)
    found = neighbors.neighbors(stored, stored, 2)
    assert [set(row) for row in found.tolist()] == [{1, 2}, {0, 2}, {0, 1}, {0, 1}, {0, 1}, {0, 1}]


def test_a_zero_vector_is_equally_far_from_all():
    stored = vectors(1, texts=4)
    stored[2] = 0
    assert set(neighbors.neighbors(stored, stored, 2)[2].tolist()) == {0, 1}


def test_shared_neighbors_are_counted_in_any_order():
    left, right = np.array([[1, 2, 3], [4, 5, 6]]), np.array([[3, 1, 9], [6, 5, 4]])
    assert shared(left, right) == pytest.approx(5 / 6)
