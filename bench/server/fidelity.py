"""How close a system's answers over HTTP are to the original's in fp32. Of vectors; other kinds have their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.errors import LoadFailed
from bench.load.kept_connections import Connection
from bench.load.vectors import parse_vector, vector_request
from bench.load.wire import Request
from build.fidelity.cosine import cosines, summarize
from build.fidelity.requests import heldout_texts
from manifest import Fidelity

Embed = Callable[[Path, list[str]], NDArray[np.float32]]
"""What the original in a directory makes of texts: (texts, dim)."""


class Original(Protocol):
    """What the original makes of held-out inputs."""

    @property
    def numbers(self) -> int:
        """How many numbers each answer under load has."""

    def compare(self, port: int) -> Fidelity:
        """Ask the server on ``port`` for the same. Raises ``LoadFailed`` for answers that cannot be compared."""


@dataclass(frozen=True)
class OriginalVectors:
    """Implements ``Original``."""

    texts: list[str]
    vectors: NDArray[np.float32]
    """(texts, dim)"""

    @property
    def numbers(self) -> int:
        return int(self.vectors.shape[1])

    def compare(self, port: int) -> Fidelity:
        served = served_vectors(port, self.texts)
        if served.shape != self.vectors.shape:
            raise LoadFailed(f"the vectors must have {self.numbers} components, not {served.shape[1]}")
        return Fidelity(cosine=summarize(cosines(served, self.vectors)))


def vectors_by(embed: Embed, texts: Callable[[], list[str]] = heldout_texts) -> Callable[[Path], OriginalVectors]:
    """From a model's directory to what the original makes of the held-out texts."""

    def original(directory: Path) -> OriginalVectors:
        chosen = texts()
        return OriginalVectors(chosen, embed(directory, chosen))

    return original


def served_vectors(port: int, texts: list[str]) -> NDArray[np.float32]:
    """(texts, dim) as the server on ``port`` returns them, asked one after another. Raises ``LoadFailed``."""
    answers = ask(port, (vector_request(text, port) for text in texts))
    vectors = [parse_vector(answer, text) for answer, text in zip(answers, texts, strict=True)]
    if len({len(vector) for vector in vectors}) != 1:
        raise LoadFailed("the vectors differ in their number of components")
    return np.asarray(vectors, dtype=np.float32)


def ask(port: int, requests: Iterable[Request]) -> Iterator[bytearray]:
    """The answers to requests that are sent one after another. Raises ``LoadFailed``."""
    connection = Connection(port)
    try:
        for request in requests:
            connection.send(request)
            while (response := connection.receive()) is None:
                pass
            yield response
    except OSError as error:
        raise LoadFailed(f"the connection failed: {error}") from None
    finally:
        connection.socket.close()
