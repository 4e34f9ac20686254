"""Measures over HTTP how far a system's vectors are from those of the original in fp32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import LoadFailed
from bench.server.load_generator import Connection, Request
from bench.server.wire import parse_answer
from build.fidelity.cosine import cosines, summarize
from manifest import CosineFigures


def reference_vectors(directory: Path, texts: list[str]) -> NDArray[np.float32]:
    """(texts, dim) through sentence-transformers and nothing of this project."""
    # PERF: imported only now, because torch takes seconds, and a wrong option should be told at once.
    from sentence_transformers import SentenceTransformer

    original = SentenceTransformer(str(directory), device="cpu", local_files_only=True)
    vectors: NDArray[np.float32] = original.float().encode(texts, convert_to_numpy=True, show_progress_bar=False)
    return vectors


def served_vectors(port: int, texts: list[str]) -> NDArray[np.float32]:
    """(texts, dim) as the server on ``port`` answers them, one after another. Raises ``LoadFailed``."""
    connection = Connection(port)
    try:
        vectors = []
        for text in texts:
            connection.send(Request.of(text, port))
            while (response := connection.receive()) is None:
                pass
            vectors.append(parse_answer(response, text))
    except OSError as error:
        raise LoadFailed(f"the connection failed: {error}") from None
    finally:
        connection.socket.close()
    if len({len(vector) for vector in vectors}) != 1:
        raise LoadFailed("the vectors are not all of one size")
    return np.asarray(vectors, dtype=np.float32)


def compare(served: NDArray[np.float32], reference: NDArray[np.float32]) -> CosineFigures:
    """Raises ``LoadFailed`` where the vectors are not of the original's size."""
    if served.shape != reference.shape:
        raise LoadFailed(f"the vectors have {served.shape[1]} components, and the original's {reference.shape[1]}")
    return summarize(cosines(served, reference))
