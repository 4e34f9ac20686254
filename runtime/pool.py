"""Turns token embeddings into one vector: pooling, truncation, normalization. Pure functions on one text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manifest import Pooling

NORM_FLOOR = np.float32(1e-12)
"""Norms below this divide by it, as torch.nn.functional.normalize does."""


def pool(tokens: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    """(tokens, hidden) to (hidden,): the mean over all tokens, or the first token's embedding."""
    if pooling is Pooling.CLS:
        return tokens[0]
    mean: NDArray[np.float32] = tokens.mean(axis=0, dtype=np.float32)
    return mean


def truncate(vector: NDArray[np.float32], dimensions: int | None) -> NDArray[np.float32]:
    """The first ``dimensions`` components; all of them for None."""
    return vector if dimensions is None else vector[:dimensions]


def normalize(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vector divided by its Euclidean norm; a zero vector stays zero."""
    return vector / np.maximum(np.linalg.norm(vector), NORM_FLOOR)
