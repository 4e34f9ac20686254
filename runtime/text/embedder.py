"""Turns one checked request into one vector: windows, inference, pooling, layers. Knows nothing of HTTP or queues."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from manifest import Encoder
from runtime.errors import InferenceFailed
from runtime.inference.engine import Engine
from runtime.inference.token_batch import TokenBatch
from runtime.inference.token_run import TokenRun, Tokens
from runtime.metrics.work_figures import WorkFigures
from runtime.scheduling.job import Step
from runtime.text.head import Head, normalize
from runtime.text.pooling import pool
from runtime.text.request import EmbedRequest
from runtime.text.windows import Window, Windowing, Windows

Vector = NDArray[np.float32]
Steps = Generator[Step, Tokens, Vector]


class Embedder:
    """One path from a text to its vector. Thread-safe."""

    def __init__(
        self, encoder: Encoder, windows: Windows, engine: Engine, head: Head, figures: WorkFigures | None = None
    ) -> None:
        """``figures``: where texts are counted."""
        self._figures = figures if figures is not None else WorkFigures()
        self._encoder, self._windows, self._engine, self._head = encoder, windows, engine, head

    def begin(self, request: EmbedRequest) -> Steps:
        """Yields one window a step, to be run, or a pause in tokenizing; the result is (dim,) or (dimensions,) float32.

        The vectors of several windows are averaged, weighted by their numbers of the text's tokens. Raises
        ``InvalidRequest``, or ``InferenceFailed``, also for a vector that is not finite.
        """
        vector = yield from self._average(request)
        if request.dimensions is not None:
            vector = vector[: request.dimensions]
            if self._encoder.normalizes:
                vector = normalize(vector)
        if not np.isfinite(vector).all():
            raise InferenceFailed("the model returned a vector that is not finite")
        return vector

    def fits(self, request: EmbedRequest) -> bool:
        """Whether the text with its prompt fits into one window."""
        return self._windows.fits(request.prompt, request.text)

    def estimate(self, request: EmbedRequest) -> int:
        """Return how many windows the text probably has, by its length alone; at least 1."""
        return self._windows.estimate(request.prompt, request.text)

    def _average(self, request: EmbedRequest) -> Steps:
        """The vector of the only window, or the average of all, weighted and normalized."""
        windows = self._windows.of(request.prompt, request.text)
        window = yield from _next_window(windows, self.estimate(request))
        vector = yield from self._vector(window, request)
        count, made = len(window.ids), 1
        if not window.following:
            self._figures.computed(count, truncated=window.is_truncated)
            return vector
        total, weight = vector.astype(np.float64) * window.tokens, window.tokens
        while window.following:
            window = yield from _next_window(windows, window.following)
            total += (yield from self._vector(window, request)).astype(np.float64) * window.tokens
            weight += window.tokens
            count, made = count + len(window.ids), made + 1
        self._figures.computed(count, made)
        vector = (total / weight).astype(np.float32)
        return normalize(vector) if self._encoder.normalizes else vector

    def _vector(self, window: Window, request: EmbedRequest) -> Steps:
        if not window.ids:
            # NOTE: without special tokens an empty text has none; sentence-transformers' masked mean is zero then.
            return self._head.apply(np.zeros(self._encoder.width * len(request.pooling), dtype=np.float32))
        memory = self._encoder.memory.of(len(window.ids))
        tokens = yield Step(TokenRun(self._engine, TokenBatch.of(window.ids), memory), window.following + 1)
        return self._head.apply(pool(tokens, request.pooling, request.skipped_tokens))


def _next_window(windows: Windowing, left: int) -> Generator[Step, Tokens, Window]:
    """Yields a step for each pause before the next window, with the estimated number of windows that are left."""
    while (window := next(windows)) is None:
        yield Step(None, left)
    return window
