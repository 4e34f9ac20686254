"""Where the work for images is done: on inference threads, and for one request on several at a time."""

from __future__ import annotations

import asyncio
import base64
import threading
from functools import partial
from typing import Any

import numpy as np

from manifest import Graph, Layout
from runtime.clip.image_embedder import ImageEmbedder
from runtime.clip.request import VectorizeRequest
from runtime.clip.tower_batch import TowerBatch
from runtime.clip.vectorizer import Vectorizer
from runtime.images.outline import Outline
from runtime.images.preprocess import Preprocessor
from runtime.scheduling.memory_budget import MemoryBudget
from runtime.scheduling.scheduler import Scheduler
from sections.clip import ImageModel
from tests.support.images.inputs import cropped
from tests.support.images.pictures import Kind, encoded, noise
from tests.support.patience import PATIENCE

CORES = 3
PIXELS = cropped(8)
GRAPH = Graph("image.onnx", "image.onnx.data", ("pixels",), "vector", Layout.PADDED, None)
MODEL = ImageModel("clip", PIXELS, GRAPH, normalizes=False, memory=1)


class Recorded(Preprocessor):
    """Notes by which threads it is called."""

    def __init__(self) -> None:
        super().__init__(PIXELS, 1000)
        self.threads: set[str] = set()

    def outline(self, image: str) -> Outline:
        self.threads.add(threading.current_thread().name)
        return super().outline(image)

    def pixels(self, outline: Outline) -> Any:
        self.threads.add(threading.current_thread().name)
        return super().pixels(outline)


class Together:
    """An engine whose runs wait for each other, as many as there are cores."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(CORES)

    def run(self, pixels: np.ndarray, cores: int) -> np.ndarray:
        self._barrier.wait(PATIENCE)
        return pixels.mean(axis=(1, 2))


def test_images_of_one_request_are_decoded_and_run_side_by_side_on_inference_threads():
    preprocess, budget = Recorded(), MemoryBudget(1 << 30)
    embedder = ImageEmbedder(MODEL, preprocess, Together(), budget)
    scheduler: Scheduler[Any] = Scheduler(lambda begin: begin(), lambda: TowerBatch(budget), CORES, PATIENCE)

    def embed(image: str, deadline: float | None) -> Any:
        return scheduler.submit(partial(embedder.begin, image), image, deadline=deadline)

    images = [base64.b64encode(encoded(noise(9 + n, 9), Kind("RGB", "PNG"))).decode() for n in range(2 * CORES)]
    scheduler.start()
    try:
        request = VectorizeRequest((), tuple(images))
        found = asyncio.run(Vectorizer(embed, embed, 2 * CORES).vectors(request, None))
    finally:
        scheduler.stop()
    assert [vector.shape for vector in found.images] == [(3,)] * len(images)
    assert preprocess.threads == {f"inference-{number}" for number in range(CORES)}
