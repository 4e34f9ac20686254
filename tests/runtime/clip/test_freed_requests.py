"""What a refused request held is freed with its refusal, not by the next garbage collection."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from manifest import Graph, Layout
from runtime.api.vectorize import VectorizeEndpoint
from runtime.clip.image_embedder import ImageEmbedder
from runtime.clip.request import VectorizeRequest
from runtime.clip.tower_batch import TowerBatch
from runtime.clip.vectorizer import Vectorizer
from runtime.errors import InvalidRequest
from runtime.images.outline import Outline
from runtime.images.preprocess import Preprocessor
from runtime.literals.long_string import LongString
from runtime.scheduling.memory_budget import MemoryBudget
from runtime.scheduling.scheduler import Scheduler
from sections.clip import ImageModel
from tests.support.bundles.text_models import a_text_model
from tests.support.images import bombs
from tests.support.images.inputs import cropped
from tests.support.images.pictures import Kind, encoded, noise
from tests.support.patience import PATIENCE

PIXELS = cropped(8)
MODEL = ImageModel("clip", PIXELS, Graph("i", "i", ("p",), "v", Layout.PADDED, None), normalizes=False, memory=1)

GOOD = encoded(noise(9, 9), Kind("RGB", "PNG"))
JPEG = encoded(noise(90, 90), Kind("RGB", "JPEG"))
LARGE = 1 << 20
CORES = 2

CASES = {
    "no image": "A" * LARGE,
    "too many pixels": base64.b64encode(bombs.jpeg_header(900, 900) + bytes(LARGE)).decode(),
    "not base64": base64.b64encode(GOOD).decode() + "=" * LARGE,
    "scans": base64.b64encode(bombs.jpeg_with_scans(65) + bytes(LARGE)).decode(),
    "cut in its pixels": base64.b64encode(JPEG[: len(JPEG) // 2]).decode() + "\n" * LARGE,
}


class Engine:
    def run(self, pixels: np.ndarray, cores: int) -> np.ndarray:
        return pixels.mean(axis=(1, 2))


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def kept() -> list[Any]:
    kinds = (VectorizeRequest, LongString, Outline)
    return [each for each in gc.get_objects() if isinstance(each, kinds)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("others", [0, 3])
def test_nothing_of_a_refused_request_outlives_it(name: str, others: int):
    budget = MemoryBudget(1 << 30)
    embedder = ImageEmbedder(MODEL, Preprocessor(PIXELS, 10_000), Engine(), budget)
    scheduler: Scheduler[Any] = Scheduler(lambda begin: begin(), lambda: TowerBatch(budget), CORES, PATIENCE)

    def embed(image: Any, deadline: float | None) -> Any:
        return scheduler.submit(partial(embedder.begin, image), image, deadline=deadline)

    endpoint = VectorizeEndpoint(Vectorizer(embed, embed, 4).vectors, lambda request: True, a_text_model())
    body = json.dumps({"images": [base64.b64encode(GOOD).decode()] * others + [CASES[name]]}).encode()

    async def refused() -> str:
        item = endpoint.parse(body)
        with pytest.raises(InvalidRequest) as caught:
            await endpoint.answer(item, None)
        message = str(caught.value)
        del caught
        return message

    async def main() -> list[Any]:
        assert (await refused()).startswith(f"images[{others}] ")
        await asyncio.sleep(0)  # the callback that brought the refusal refers to it
        async with asyncio.timeout(PATIENCE):
            while scheduler.idle_threads < CORES:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)  # what threads delivered before they were idle
        return kept()

    scheduler.start()
    try:
        assert asyncio.run(main()) == []
    finally:
        scheduler.stop()
