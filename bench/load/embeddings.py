"""``POST /v1/embeddings``: many texts to as many vectors, as OpenAI's clients ask for them."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any

from bench.load.texts import Length, endless_texts
from bench.load.wire import HEADER_END, JSON, Request, body_of, check_status, post, wrong

ROUTE = "/v1/embeddings"
FLOAT, BASE64 = "float", "base64"
BYTES_PER_NUMBER = 4
OBJECT_COMMAS = 2
"""Of a vector's object, which has its index and its type besides."""


class Embeddings:
    """Implements ``Route`` for ``texts`` in a request, and vectors of ``dim`` components in one of the two formats."""

    def __init__(self, dim: int, texts: int, encoding: str) -> None:
        self._dim, self._texts, self._encoding = dim, texts, encoding

    def requests(self, length: Length, port: int, seed: str) -> Iterator[Request]:
        texts = endless_texts(length, seed)
        while True:
            yield embeddings_request(list(islice(texts, self._texts)), self._encoding, port)

    def check(self, response: bytes | bytearray, request: Request) -> None:
        """Counts commas, or the characters of vectors in base64; ``parse`` does not."""
        check_status(response)
        start = response.find(b"[", response.find(b'"data"', response.find(HEADER_END)))
        end = response.rfind(b"]")
        vectors = response.count(b'"embedding":', start, end)
        if start < 0 or vectors != self._texts or not self._has_numbers(response, start, end):
            raise wrong(f"the answer has no {self._texts} vectors of {self._dim} components", response)

    def parse(self, response: bytes | bytearray, request: Request) -> list[float]:
        return parse_embeddings(response, self._texts, self._dim)

    def _has_numbers(self, response: bytes | bytearray, start: int, end: int) -> bool:
        if self._encoding == BASE64:
            return end - start > self._texts * len(base64.b64encode(bytes(BYTES_PER_NUMBER * self._dim)))
        return response.count(b",", start, end) + 1 == self._texts * (self._dim + OBJECT_COMMAS)


def embeddings_request(texts: list[str], encoding: str, port: int) -> Request:
    """As OpenAI's client sends it."""
    fields = {"input": texts, "model": "", "encoding_format": encoding}
    return Request(b"", post(ROUTE, fields, port, JSON))


def parse_embeddings(response: bytes | bytearray, texts: int, dim: int) -> list[float]:
    """The components of all vectors of a 200, in the order of the texts; all must be finite. Raises ``LoadFailed``."""
    check_status(response)
    try:
        rows = json.loads(body_of(response))["data"]
        in_order = [row["index"] for row in rows] == list(range(texts))
        vectors = [_vector(row["embedding"]) for row in rows]
    except (ValueError, TypeError, KeyError, struct.error) as error:
        raise wrong(f"the answer does not follow the contract ({error})", response) from None
    components = [component for vector in vectors for component in vector]
    if not in_order or {len(vector) for vector in vectors} != {dim} or not all(map(math.isfinite, components)):
        raise wrong("the answer's vectors are not those of the texts in order", response)
    return components


def _vector(embedding: Any) -> list[float]:
    if isinstance(embedding, str):
        data = base64.b64decode(embedding, validate=True)
        return list(struct.unpack(f"<{len(data) // BYTES_PER_NUMBER}f", data))
    return [float(component) for component in embedding]
