"""Embeds texts with the package model2vec: what all other vectors are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from build.fidelity.requests import VectorRequest
from build.static.original import Model2vecModel


def model2vec_vectors(directory: Path, texts: list[str]) -> NDArray[np.float32]:
    """(texts, dim) from model2vec, each text alone."""
    return Model2vecModel(directory).embed([VectorRequest(text) for text in texts]).astype(np.float32)
