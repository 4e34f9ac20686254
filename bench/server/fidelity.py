"""Measures over HTTP how close a system's vectors are to the original's in fp32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.errors import LoadFailed
from bench.load.kept_connections import Connection
from bench.load.vectors import parse_vector, vector_request
from build.fidelity.cosine import cosines, summarize
from manifest import CosineFigures


def served_vectors(port: int, texts: list[str]) -> NDArray[np.float32]:
    """(texts, dim) as the server on ``port`` returns them, asked one after another. Raises ``LoadFailed``."""
    connection = Connection(port)
    try:
        vectors = []
        for text in texts:
            connection.send(vector_request(text, port))
            while (response := connection.receive()) is None:
                pass
            vectors.append(parse_vector(response, text))
    except OSError as error:
        raise LoadFailed(f"the connection failed: {error}") from None
    finally:
        connection.socket.close()
    if len({len(vector) for vector in vectors}) != 1:
        raise LoadFailed("the vectors differ in their number of components")
    return np.asarray(vectors, dtype=np.float32)


def compare(served: NDArray[np.float32], reference: NDArray[np.float32]) -> CosineFigures:
    """Raises ``LoadFailed`` where the vectors do not have as many components as the original's."""
    if served.shape != reference.shape:
        raise LoadFailed(f"the vectors must have {reference.shape[1]} components, not {served.shape[1]}")
    return summarize(cosines(served, reference))
