"""What is measured on two sets of vectors, held against numpy in float64."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from build.compare.figures import BIN_EDGES, NEIGHBORS, measure, neighbors_of
from build.compare.neighbors import COSINE_LEVELS
from build.compare.verdict import Verdict, judge
from tests.support.compare.vectors import DIM, TEXTS, brute_force, brute_force_overlap, moved, names, rotation, vectors


def test_figures_are_those_of_float64():
    old = vectors(1)
    new = moved(old, 0.9) * np.float32(2)
    figures = measure(names(TEXTS), old, new)
    a, b = old.astype(np.float64), new.astype(np.float64)
    cosines = np.array([x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in zip(a, b, strict=True)])
    assert figures.cosines is not None
    assert figures.cosines.mean == pytest.approx(cosines.mean())
    assert figures.cosines.median == pytest.approx(np.median(cosines))
    assert figures.cosines.p1 == pytest.approx(np.quantile(cosines, 0.01))
    assert figures.cosines.minimum == pytest.approx(cosines.min())
    for entry in figures.cosines.histogram:
        assert entry.texts == ((cosines >= entry.low) & (cosines < entry.high)).sum()
    assert [(entry.low, entry.high) for entry in figures.cosines.histogram] == list(pairwise(BIN_EDGES))
    worst = np.argsort(cosines)[:5]
    assert [far.text for far in figures.furthest] == [f"text {index}" for index in worst]
    assert [far.cosine for far in figures.furthest] == pytest.approx(cosines[worst].tolist())
    assert (figures.old_dim, figures.new_dim, figures.texts) == (DIM, DIM, TEXTS)
    assert (figures.old_lengths.unit, figures.new_lengths.unit) == (True, False)
    assert (figures.new_lengths.minimum, figures.new_lengths.maximum) == pytest.approx((2, 2))
    assert figures.length_ratios == pytest.approx((2, 2))
    before = brute_force(old, old, NEIGHBORS)
    overlap = figures.overlap
    assert overlap.k == NEIGHBORS
    assert overlap.mixed == pytest.approx(brute_force_overlap(before, brute_force(new, old, NEIGHBORS)))
    assert overlap.own == pytest.approx(brute_force_overlap(before, brute_force(new, new, NEIGHBORS)))
    assert 0 < overlap.mixed < 1


def test_vectors_of_two_sizes_only_have_neighbors_in_their_own_index():
    old, new = vectors(1, dim=8), vectors(2)
    figures = measure(names(TEXTS), old, new)
    assert (figures.cosines, figures.overlap.mixed, figures.furthest) == (None, None, ())
    expected = brute_force_overlap(brute_force(old, old, NEIGHBORS), brute_force(new, new, NEIGHBORS))
    assert figures.overlap.own == pytest.approx(expected)


def test_zero_vectors_have_no_length_ratio():
    old = vectors(1, texts=3)
    old[0] = 0
    assert measure(names(3), old, vectors(2, texts=3)).length_ratios == pytest.approx((1, 1))
    assert measure(names(3), old * 0, old).length_ratios == (1, 1)


@pytest.mark.parametrize(("texts", "k"), [(2, 1), (3, 1), (4, 1), (5, 2), (20, 9), (21, 10), (5000, 10)])
def test_there_are_ten_neighbors_or_half_of_the_other_texts(texts: int, k: int):
    assert neighbors_of(texts) == k


@given(st.integers(0, 10**6), st.integers(2, 30))
def test_equal_vectors_are_a_drop_in(seed: int, texts: int):
    same = vectors(seed, texts)
    figures = measure(names(texts), same, same)
    assert figures.cosines is not None
    assert figures.cosines.minimum == pytest.approx(1, abs=1e-12)
    assert figures.cosines.histogram[-1].texts == texts
    assert (figures.overlap.mixed, figures.overlap.own) == (1, 1)
    assert judge(figures).verdict is Verdict.DROP_IN


@given(st.integers(0, 10**6))
def test_a_rotation_keeps_neighbors_in_a_new_index_and_loses_them_in_the_old_one(seed: int):
    old = vectors(seed)
    figures = measure(names(TEXTS), old, old @ rotation(seed))
    assert figures.overlap.own > 0.99
    assert figures.overlap.mixed is not None
    assert figures.overlap.mixed < 0.6
    assert judge(figures).verdict is Verdict.REIMPORT


def are_decided(queries: np.ndarray, stored: np.ndarray) -> bool:
    """Whether the last neighbor of each is nearer than the next text by more than two of the levels of cosines."""
    a, b = (each / np.linalg.norm(each.astype(np.float64), axis=1, keepdims=True) for each in (queries, stored))
    cosines = a @ b.T
    np.fill_diagonal(cosines, -1)
    farthest_first = np.sort(cosines, axis=1)
    return bool((farthest_first[:, -NEIGHBORS] - farthest_first[:, -NEIGHBORS - 1] > 2 / COSINE_LEVELS).all())


@given(st.integers(0, 10**6), st.permutations(range(TEXTS)))
def test_the_order_of_the_texts_changes_nothing(seed: int, order: list[int]):
    """Unless neighbors are equal, of which the first one counts."""
    old = vectors(seed)
    new = moved(old, 0.97)
    assume(are_decided(old, old) and are_decided(new, old) and are_decided(new, new))
    one, other = measure(names(TEXTS), old, new), measure(names(TEXTS), old[order], new[order])
    assert one.cosines is not None
    assert other.cosines is not None
    assert other.cosines.mean == pytest.approx(one.cosines.mean)
    assert other.cosines.histogram == one.cosines.histogram
    assert (other.overlap.mixed, other.overlap.own) == pytest.approx((one.overlap.mixed, one.overlap.own))
    assert judge(one).verdict is judge(other).verdict
