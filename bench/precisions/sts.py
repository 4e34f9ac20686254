"""Reads pairs of sentences that people have scored for similarity, and how well cosines agree with the scores."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import SetupFailed
from build.fidelity.cosine import cosines


@dataclass(frozen=True)
class Pairs:
    """Scored pairs: pair n is the sentences at ``left[n]`` and ``right[n]``."""

    sentences: tuple[str, ...]
    """Each sentence occurs once, however many pairs it is in."""
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    scores: NDArray[np.float64]


def read_pairs(file: Path) -> Pairs:
    """Lines "sentence,sentence,score" as CSV. Raises ``SetupFailed`` with the number of a line that is none."""
    indexes: dict[str, int] = {}
    rows = []
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            for number, row in enumerate(csv.reader(stream), 1):
                if len(row) != 3:
                    raise ValueError(f"line {number} must have 3 fields (sentence, sentence, score), not {len(row)}")
                left, right = (indexes.setdefault(sentence, len(indexes)) for sentence in row[:2])
                rows.append((left, right, float(row[2])))
    except (OSError, ValueError) as error:
        raise SetupFailed(f"{file} cannot be read as pairs of sentences: {error}") from None
    if len(rows) < 2:
        raise SetupFailed(f"{file} must have at least 2 pairs for a rank correlation, not {len(rows)}")
    left_indexes, right_indexes, scores = zip(*rows, strict=True)
    return Pairs(tuple(indexes), np.array(left_indexes), np.array(right_indexes), np.array(scores))


def agreement(pairs: Pairs, vectors: NDArray[np.float32]) -> float:
    """Spearman's rank correlation × 100 of the pairs' cosines with their scores; ``vectors``: (sentences, dim)."""
    return 100 * spearman(cosines(vectors[pairs.left], vectors[pairs.right]), pairs.scores)


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's correlation of the ranks; equal values share the mean of their ranks."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[group]
    return ranks
