"""``POST /vectorize``: texts and images to their vectors, as Weaviate's multi2vec-clip asks for them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from manifest import TextModel
from runtime.api.json_body import name_of, parse_object
from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import NULL, STRING, VECTORS, array_of, either, object_of
from runtime.clip.request import VectorizeRequest
from runtime.clip.vectorizer import Vectors
from runtime.errors import InvalidRequest
from runtime.text.request import EmbedRequest, default_request

WHAT = "an object with texts, images or both"

COPIES_OF_IMAGES = 2.5
"""An image is in memory as the text that was sent and, while it is read, twice as bytes, which are a quarter fewer."""


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
        return parse_vectorize(body, self._model)

    def size(self, item: VectorizeRequest) -> int:
        texts = sum(sys.getsizeof(text.text) for text in item.texts)
        return texts + int(COPIES_OF_IMAGES * sum(map(sys.getsizeof, item.images)))

    def fits(self, item: VectorizeRequest) -> bool:
        return all(map(self._fits, item.texts))

    async def answer(self, item: VectorizeRequest, deadline: float | None) -> bytes:
        texts, images = await self._vectors(item, deadline)
        return orjson.dumps({"textVectors": texts, "imageVectors": images}, option=orjson.OPT_SERIALIZE_NUMPY)


def parse_vectorize(body: bytes, model: TextModel) -> VectorizeRequest:
    """Parse the JSON of ``POST /vectorize``. What is absent or null is empty. Unknown keys are ignored.

    Raises ``InvalidRequest`` that names the field, and in a list the index.
    """
    fields = parse_object(body, WHAT)
    texts = tuple(_embed_request(model, text) for text in _strings(fields, "texts"))
    return VectorizeRequest(texts, tuple(_strings(fields, "images")))


def _embed_request(model: TextModel, text: str) -> EmbedRequest:
    request = default_request(model, text)
    if request is None:
        raise InvalidRequest("texts must be absent: this model needs a task for them, and requests here have none")
    return request


def _strings(fields: dict[str, Any], name: str) -> list[str]:
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequest(f"{name} must be a list of strings, not {name_of(value)}")
    for index, item in enumerate(value):
        if not isinstance(item, str):
            raise InvalidRequest(f"{name}[{index}] must be a string, not {name_of(item)}")
    return value
