"""Scored pairs of sentences and rank correlation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import SetupFailed
from bench.precisions.sts import agreement, read_pairs, spearman

PAIRS = '"A cat, asleep",A dog,1.5\nA dog,A dog runs,4\nA cat sleeps,"A cat, asleep",5.0\n'


def write_pairs(file: Path, text: str = PAIRS) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_a_sentence_of_several_pairs_is_there_once(tmp_path: Path):
    pairs = read_pairs(write_pairs(tmp_path / "pairs.csv"))
    assert pairs.sentences == ("A cat, asleep", "A dog", "A dog runs", "A cat sleeps")
    assert (pairs.left.tolist(), pairs.right.tolist()) == ([0, 1, 3], [1, 2, 0])
    assert pairs.scores.tolist() == [1.5, 4, 5]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b,1\na,b\n", r"line 2 must have 3 fields \(sentence, sentence, score\), not 2"),
        ("a,b,high\n", "could not convert string to float"),
        ("a,b,1\n", "must have at least 2 pairs for a rank correlation, not 1"),
        ("", "must have at least 2 pairs for a rank correlation, not 0"),
    ],
)
def test_a_file_that_holds_no_pairs_is_named(tmp_path: Path, text: str, reason: str):
    with pytest.raises(SetupFailed, match=rf"pairs\.csv.*{reason}"):
        read_pairs(write_pairs(tmp_path / "pairs.csv", text))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(SetupFailed, match=r"nothing\.csv cannot be read"):
        read_pairs(tmp_path / "nothing.csv")


def test_cosines_in_the_order_of_the_scores_agree_fully(tmp_path: Path):
    pairs = read_pairs(write_pairs(tmp_path / "pairs.csv"))
    vectors = np.array([[1, 0], [0, 1], [0.6, 1], [1, 0.1]], dtype=np.float32)
    assert agreement(pairs, vectors) == pytest.approx(100)
    assert agreement(pairs, vectors[[0, 3, 2, 1]]) < 100


def by_hand(a: list[float], b: list[float]) -> float:
    """Pearson's correlation of mean ranks, each found by counting."""

    def ranks(values: list[float]) -> list[float]:
        return [sum(v < own for v in values) + (sum(v == own for v in values) + 1) / 2 for own in values]

    x, y = np.array(ranks(a)), np.array(ranks(b))
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


VALUES = st.integers(-5, 5).map(float)


@settings(deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=30))
def test_spearman_is_the_correlation_of_mean_ranks(pairs: list[tuple[float, float]]):
    a, b = (list(column) for column in zip(*pairs, strict=True))
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert spearman(np.array(a), np.array(b)) == pytest.approx(by_hand(a, b))
