"""``POST /vectorize``: a text or an image to its vector, as Weaviate's multi2vec-clip asks for it."""

from __future__ import annotations

import base64
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator

from bench.load.pictures import Size, endless_jpegs
from bench.load.texts import Length, endless_texts
from bench.load.wire import HEADER_END, JSON, Request, body_of, check_status, post, wrong

ROUTE = "/vectorize"
TEXTS, IMAGES = "texts", "images"
ANSWERS = {TEXTS: "textVectors", IMAGES: "imageVectors"}
"""Fields of requests, and those of the answers to them."""


class Vectorize(ABC):
    """Implements ``Route`` for one item a request, whose vector has ``dim`` components."""

    field: str

    def __init__(self, dim: int) -> None:
        self._dim = dim

    @abstractmethod
    def items(self, length: Length, seed: str) -> Iterator[str]:
        """What is sent, without end."""

    def requests(self, length: Length, port: int, seed: str) -> Iterator[Request]:
        return (vectorize_request(self.field, item, port) for item in self.items(length, seed))

    def check(self, response: bytes | bytearray, request: Request) -> None:
        """Counts commas; ``parse`` does not."""
        check_status(response)
        field = ANSWERS[self.field].encode()
        found = response.find(field, response.find(HEADER_END))
        start = response.find(b"[[", found, found + len(field) + len(b'": [['))
        end = response.find(b"]]", start)
        if found < 0 or start < 0 or end < 0 or response.count(b",", start, end) + 1 != self._dim:
            raise wrong(f"the answer has no vector of {self._dim} components in {ANSWERS[self.field]}", response)

    def parse(self, response: bytes | bytearray, request: Request) -> list[float]:
        return parse_vectorize(response, self.field)


class VectorizeTexts(Vectorize):
    """Of texts of the load's length."""

    field = TEXTS

    def items(self, length: Length, seed: str) -> Iterator[str]:
        return endless_texts(length, seed)


class VectorizeImages(Vectorize):
    """Of JPEGs of one size, whatever the load's length is called."""

    field = IMAGES

    def __init__(self, dim: int, size: Size) -> None:
        super().__init__(dim)
        self._size = size

    def items(self, length: Length, seed: str) -> Iterator[str]:
        return (base64.b64encode(file).decode() for file in endless_jpegs(self._size, seed))


def vectorize_request(field: str, item: str, port: int) -> Request:
    """This client alone names a Content-Type."""
    return Request(b"", post(ROUTE, {field: [item]}, port, JSON))


def parse_vectorize(response: bytes | bytearray, field: str) -> list[float]:
    """The only vector of a 200, whose components must be finite. Raises ``LoadFailed``."""
    check_status(response)
    try:
        (found,) = json.loads(body_of(response))[ANSWERS[field]]
        vector = [float(component) for component in found]
    except (ValueError, TypeError, KeyError) as error:
        raise wrong(f"the answer does not follow the contract ({error})", response) from None
    if not vector or not all(map(math.isfinite, vector)):
        raise wrong("the answer's vector is not finite", response)
    return vector
