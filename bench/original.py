"""Embeds texts with the original model in fp32: what all other vectors are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def reference_vectors(directory: Path, texts: list[str]) -> NDArray[np.float32]:
    """(texts, dim) from sentence-transformers, with nothing of this project."""
    # PERF: imported here because torch takes seconds to load, and a wrong option should be reported at once.
    from sentence_transformers import SentenceTransformer

    original = SentenceTransformer(str(directory), device="cpu", local_files_only=True)
    vectors: NDArray[np.float32] = original.float().encode(texts, convert_to_numpy=True, show_progress_bar=False)
    return vectors
