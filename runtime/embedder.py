"""Turns one checked request into one vector: windows, inference, pooling, layers. Knows nothing of HTTP or queues."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
from numpy.typing import NDArray

from manifest import Encoder
from runtime.embed_request import EmbedRequest
from runtime.engine import Engine
from runtime.errors import InferenceFailed
from runtime.head import Head, normalize
from runtime.memory import MemoryBudget
from runtime.pool import pool
from runtime.token_batch import TokenBatch
from runtime.windows import Window, Windows

Steps = Generator[None, None, NDArray[np.float32]]


class Embedder:
    """One way from text to vector. Thread-safe."""

    def __init__(self, encoder: Encoder, windows: Windows, engine: Engine, head: Head, budget: MemoryBudget) -> None:
        self._encoder, self._windows, self._engine, self._head = encoder, windows, engine, head
        self._budget = budget

    def begin(self, request: EmbedRequest, cores_now: Callable[[], int]) -> Steps:
        """One window a step; the result is (dim,) or (dimensions,) float32. ``cores_now``: cores for the next step.

        The vectors of several windows are averaged, weighted by their numbers of the text's tokens. Raises
        ``InvalidRequest``, or ``InferenceFailed``, also for a vector that is not finite.
        """
        windows = self._windows.of(request.prompt, request.text)
        window = next(windows)
        vector = self._run(window, request, cores_now())
        if (following := next(windows, None)) is not None:
            total, weight = vector.astype(np.float64) * window.tokens, window.tokens
            while following is not None:
                yield
                total += self._run(following, request, cores_now()).astype(np.float64) * following.tokens
                weight += following.tokens
                following = next(windows, None)
            vector = (total / weight).astype(np.float32)
            if self._encoder.normalizes:
                vector = normalize(vector)
        if request.dimensions is not None:
            vector = vector[: request.dimensions]
            if self._encoder.normalizes:
                vector = normalize(vector)
        if not np.isfinite(vector).all():
            raise InferenceFailed("the model returned a vector that is not finite")
        return vector

    def embed(self, request: EmbedRequest, cores: int) -> NDArray[np.float32]:
        """All steps at once."""
        steps = self.begin(request, lambda: cores)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                vector: NDArray[np.float32] = end.value
                return vector

    def fits(self, request: EmbedRequest) -> bool:
        """Whether the text with its prompt fits into one window."""
        return self._windows.fit(request.prompt, request.text)

    def _run(self, window: Window, request: EmbedRequest, cores: int) -> NDArray[np.float32]:
        if not window.ids:
            # NOTE: without special tokens an empty text has none; sentence-transformers' masked mean is zero then.
            return self._head.apply(np.zeros(self._encoder.width * len(request.pooling), dtype=np.float32))
        with self._budget.lease(self._encoder.memory.of(len(window.ids))):
            tokens = self._engine.run(TokenBatch.of(window.ids), cores)
            return self._head.apply(pool(tokens, request.pooling, request.left_out))
