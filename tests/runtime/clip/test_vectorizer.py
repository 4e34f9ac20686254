from __future__ import annotations

import asyncio

import numpy as np
import pytest

from manifest import PoolingMode
from runtime.clip.request import VectorizeRequest
from runtime.clip.vectorizer import Vectorizer
from runtime.errors import InferenceFailed, InvalidRequest, Unavailable
from runtime.images.refusals import NotBase64
from runtime.text.request import EmbedRequest


def text(content: str) -> EmbedRequest:
    return EmbedRequest(content, "text", "", (PoolingMode.LAST_TOKEN,), 0, None)


class Towers:
    """Answers a text or an image by its number, after others had a turn; some items fail."""

    def __init__(self) -> None:
        self.failures: dict[str, Exception] = {}
        self.deadlines: dict[str, float | None] = {}
        self.running = self.most = self.ended = 0

    async def embed_text(self, request: EmbedRequest, deadline: float | None) -> np.ndarray:
        return await self.embed_image(request.text, deadline)

    async def embed_image(self, item: str, deadline: float | None) -> np.ndarray:
        self.deadlines[item] = deadline
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            if item in self.failures:
                raise self.failures[item]
            return np.array([float(item)])
        finally:
            self.running -= 1
            self.ended += 1


def vectors(towers: Towers, texts: int, images: int, in_flight: int = 4, deadline: float | None = None):
    vectorizer = Vectorizer(towers.embed_text, towers.embed_image, in_flight)
    request = VectorizeRequest(
        tuple(text(str(number)) for number in range(texts)), tuple(str(100 + number) for number in range(images))
    )
    return asyncio.run(vectorizer.vectors(request, deadline))


@pytest.mark.parametrize(("texts", "images"), [(0, 0), (1, 0), (0, 1), (3, 2), (50, 50)])
def test_there_is_a_vector_for_each_item_in_order(texts: int, images: int):
    found = vectors(Towers(), texts, images)
    assert [float(vector[0]) for vector in found.texts] == list(range(texts))
    assert [float(vector[0]) for vector in found.images] == list(range(100, 100 + images))


def test_no_more_jobs_are_in_flight_than_allowed():
    towers = Towers()
    vectors(towers, 30, 30, in_flight=5)
    assert towers.most == 5


def test_only_the_first_item_has_a_deadline():
    towers = Towers()
    vectors(towers, 2, 2, deadline=7.5)
    assert towers.deadlines == {"0": 7.5, "1": None, "100": None, "101": None}


def test_a_bad_image_is_named():
    towers = Towers()
    towers.failures["103"] = NotBase64("why")
    with pytest.raises(InvalidRequest, match=r"^images\[3\] is not base64: why$"):
        vectors(towers, 5, 5)


def test_a_bad_text_is_named():
    towers = Towers()
    towers.failures["2"] = InvalidRequest("text must be short")
    with pytest.raises(InvalidRequest, match=r"^texts\[2\]: text must be short$"):
        vectors(towers, 5, 0)


@pytest.mark.parametrize("failure", [Unavailable("later"), InferenceFailed("broken"), MemoryError("none left")])
def test_other_errors_stay_as_they_are(failure: Exception):
    towers = Towers()
    towers.failures["100"] = failure
    with pytest.raises(type(failure)) as raised:
        vectors(towers, 1, 3)
    assert raised.value is failure


def test_the_first_failure_ends_all_jobs():
    towers = Towers()
    towers.failures["0"] = InvalidRequest("no")
    with pytest.raises(InvalidRequest):
        vectors(towers, 100, 100)
    assert towers.running == 0
    assert towers.ended < 10
