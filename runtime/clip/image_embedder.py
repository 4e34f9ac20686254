"""Turns one image into one vector: reading the file, decoding, inference. Knows nothing of HTTP or queues."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.errors import InferenceFailed
from runtime.host.memory import release_free_memory
from runtime.images.base64_text import Base64
from runtime.images.outline import Outline
from runtime.images.preprocess import Preprocessor
from runtime.inference.image_engine import ImageEngine
from runtime.scheduling.job import Step
from runtime.scheduling.memory_budget import MemoryBudget
from runtime.text.head import normalize
from sections.clip import ImageModel

Vector = NDArray[np.float32]
Steps = Generator[Step, Vector, Vector]

LARGE_DECODE = 32 << 20
"""Bytes. After a decode that took more, freed memory is returned to the operating system."""


class ImageEmbedder:
    """An image's way to its vector. Thread-safe."""

    def __init__(self, model: ImageModel, preprocess: Preprocessor, engine: ImageEngine, budget: MemoryBudget) -> None:
        """``budget`` lends the memory that decoding and inference take, to images and to everything else."""
        self._model, self._preprocess = model, preprocess
        self._engine, self._budget = engine, budget

    def begin(self, image: Base64) -> Steps:
        """Yields one run; the result is (dim,) float32.

        Raises ``BadImage``, and ``InferenceFailed`` also for a vector that is not finite.
        """
        vector = yield Step(ImageRun(self, self._preprocess.outline(image)), 1)
        if self._model.normalizes:
            vector = normalize(vector)
        if not np.isfinite(vector).all():
            raise InferenceFailed("the model returned a vector that is not finite")
        return vector

    def run(self, outline: Outline, cores: int) -> Vector:
        """The network's output. Waits until there is memory. Raises ``BadImage`` or ``InferenceFailed``."""
        with self._budget.lease(outline.memory):
            try:
                pixels = self._preprocess.pixels(outline)
            finally:
                if outline.memory > LARGE_DECODE:
                    release_free_memory()
        # NOTE: a second lease only after the first: a thread that held one and asked for another could wait for itself.
        with self._budget.lease(self._model.memory):
            return self._engine.run(pixels, cores)


@dataclass(frozen=True)
class ImageRun:
    """An image that is known to be one, to be decoded and run."""

    embedder: ImageEmbedder
    outline: Outline

    def run(self, cores: int) -> Vector:
        return self.embedder.run(self.outline, cores)
