"""An image that turns out to be bad only while it is decoded gives everything back."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from PIL.ImageFile import ImageFile

from manifest import Graph, Layout
from runtime.clip.image_embedder import ImageEmbedder
from runtime.images.preprocess import Preprocessor
from runtime.images.refusals import BadImage, Broken, Truncated
from runtime.images.sniff import read_outline
from runtime.scheduling.memory_budget import MemoryBudget
from sections.clip import ImageModel
from tests.support.images import bombs
from tests.support.images.inputs import cropped
from tests.support.images.pictures import Kind, encoded, noise

PIXELS = cropped(8)
GRAPH = Graph("image.onnx", "image.onnx.data", ("pixels",), "vector", Layout.PADDED, None)
MODEL = ImageModel("clip", PIXELS, GRAPH, normalizes=False, memory=1)

JPEG = encoded(noise(99, 99), Kind("RGB", "JPEG"))

BAD: dict[str, tuple[bytes, type[BadImage]]] = {
    "cut": (JPEG[: len(JPEG) // 2], Truncated),
    "broken": (bombs.png(5, 5, bombs.png_chunk(b"IDAT", b"what is this")), Broken),
}


class NoEngine:
    def run(self, pixels: np.ndarray, cores: int) -> np.ndarray:
        raise AssertionError


@pytest.mark.parametrize("name", BAD)
def test_its_refusal_is_the_result_and_its_memory_comes_back(name: str):
    data, expected = BAD[name]
    budget = MemoryBudget(1 << 30)
    embedder: Any = ImageEmbedder(MODEL, Preprocessor(PIXELS, 10_000), NoEngine(), budget)
    outline = read_outline(data, 10_000)
    with pytest.raises(expected):
        embedder.run(outline, 1)
    assert budget.leased == 0


@pytest.mark.parametrize("name", BAD)
def test_its_refusal_does_not_keep_the_picture(name: str):
    data, expected = BAD[name]
    before = pictures()
    with pytest.raises(expected) as refusal:
        Preprocessor(PIXELS, 10_000).pixels(read_outline(data, 10_000))
    assert pictures() == before
    assert refusal.value.__context__ is None


def pictures() -> int:
    gc.collect()
    return sum(isinstance(one, ImageFile) for one in gc.get_objects())
