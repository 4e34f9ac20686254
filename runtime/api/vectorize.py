"""``POST /vectorize``: texts and images to their vectors, as Weaviate's multi2vec-clip asks for them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator, Sequence

import orjson

from manifest import TextModel
from runtime.api.json_body import name_of, parse_cut
from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import NULL, STRING, VECTORS, array_of, either, object_of
from runtime.clip.request import VectorizeRequest
from runtime.clip.vectorizer import Vectors
from runtime.errors import InvalidRequest
from runtime.literals.cut import Cut, sizes_of
from runtime.literals.long_string import LongString
from runtime.text.request import EmbedRequest, default_request

WHAT = "an object with texts, images or both"

COPIES_OF_IMAGES = 1.5
"""While an image is read, it is in memory twice as bytes, which are a quarter fewer than those of its base64."""


STRINGS = 1024
"""In a step of parsing."""

OPTIONAL_STRINGS = either(array_of(STRING), NULL)


class VectorizeEndpoint:
    """Implements ``Endpoint``. ``vectors`` takes a request and its deadline."""

    operation = Operation(
        "Vectors of texts and images",
        object_of({"texts": OPTIONAL_STRINGS, "images": OPTIONAL_STRINGS}, []),
        object_of({"textVectors": VECTORS, "imageVectors": VECTORS}),
    )

    def __init__(
        self,
        vectors: Callable[[VectorizeRequest, float | None], Awaitable[Vectors]],
        fits: Callable[[EmbedRequest], bool],
        model: TextModel,
    ) -> None:
        self._vectors, self._fits, self._model = vectors, fits, model

    def parse(self, body: bytes) -> VectorizeRequest:
        steps = self.parse_in_steps(body)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return stop.value

    def parse_in_steps(self, body: bytes) -> Generator[None, None, VectorizeRequest]:
        """Implements ``ParsesInSteps``."""
        return parse_vectorize(body, self._model)

    def size(self, item: VectorizeRequest) -> int:
        texts = sum(sys.getsizeof(text.text) for text in item.texts)
        copied, length = sizes_of(item.images)
        return texts + copied + int(COPIES_OF_IMAGES * length)

    def fits(self, item: VectorizeRequest) -> bool:
        return all(map(self._fits, item.texts))

    async def answer(self, item: VectorizeRequest, deadline: float | None) -> bytes:
        texts, images = await self._vectors(item, deadline)
        return orjson.dumps({"textVectors": texts, "imageVectors": images}, option=orjson.OPT_SERIALIZE_NUMPY)


def parse_vectorize(body: bytes, model: TextModel) -> Generator[None, None, VectorizeRequest]:
    """Parse the JSON of ``POST /vectorize``. What is absent or null is empty. Unknown keys are ignored.

    Yields between steps. Raises ``InvalidRequest`` that names the field, and in a list the index.
    """
    cut = yield from parse_cut(body, WHAT)
    texts = []
    for text in (yield from _strings(cut, "texts")):
        texts.append(_embed_request(model, text.text() if isinstance(text, LongString) else text))
        yield
    return VectorizeRequest(tuple(texts), (yield from _strings(cut, "images")))


def _embed_request(model: TextModel, text: str) -> EmbedRequest:
    request = default_request(model, text)
    if request is None:
        raise InvalidRequest("texts must be absent: this model needs a task for them, and requests here have none")
    return request


def _strings(cut: Cut, name: str) -> Generator[None, None, Sequence[str | LongString]]:
    value = cut.value.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidRequest(f"{name} must be a list of strings, not {name_of(value)}")
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise InvalidRequest(f"{name}[{index}] must be a string, not {name_of(item)}")
        if not (index + 1) % STRINGS:
            yield
    return cut.originals(value)
