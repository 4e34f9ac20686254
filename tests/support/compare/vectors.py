"""Makes vectors of two containers, and searches among them by hand."""

from __future__ import annotations

import numpy as np

from build.compare.neighbors import unit

TEXTS, DIM = 60, 24


def vectors(seed: int, texts: int = TEXTS, dim: int = DIM) -> np.ndarray:
    """Random vectors of unit length, no two of them equal."""
    return unit(np.random.default_rng(seed).normal(size=(texts, dim)).astype(np.float32))


def moved(old: np.ndarray, cosine: float, seed: int = 99) -> np.ndarray:
    """Each vector turned in a random direction, to about this cosine."""
    noise = vectors(seed, *old.shape) * np.float32(np.sqrt(1 / cosine**2 - 1))
    return unit(old + noise * np.linalg.norm(old, axis=1, keepdims=True))


def rotation(seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(DIM, DIM)))[0].astype(np.float32)


def names(count: int) -> tuple[str, ...]:
    return tuple(f"text {number}" for number in range(count))


def brute_force(queries: np.ndarray, stored: np.ndarray, k: int) -> list[set[int]]:
    """Each query's neighbors, from one float64 cosine after another."""
    a, b = queries.astype(np.float64), stored.astype(np.float64)
    found = []
    for index, query in enumerate(a):
        values = [(-(query @ other) / np.sqrt((query @ query) * (other @ other)), n) for n, other in enumerate(b)]
        found.append({n for _, n in sorted(value for value in values if value[1] != index)[:k]})
    return found


def brute_force_overlap(left: list[set[int]], right: list[set[int]]) -> float:
    return float(np.mean([len(a & b) / len(a) for a, b in zip(left, right, strict=True)]))
