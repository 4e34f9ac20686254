"""``POST /vectors``: one text to one vector, as Weaviate's text modules ask for it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping

from bench.load.texts import Length, endless_texts
from bench.load.wire import HEADER_END, Request, body_of, check_status, post, wrong

TRANSFORMERS = {"pooling_strategy": "masked_mean", "task_type": "passage"}
"""The configuration that text2vec-transformers sends with an object's text."""
MODEL2VEC = {"task_type": "passage"}
"""That of text2vec-model2vec."""


class Vectors:
    """Implements ``Route`` for vectors of ``dim`` components."""

    def __init__(self, dim: int, config: Mapping[str, str] = TRANSFORMERS) -> None:
        self._dim, self._config = dim, config

    def requests(self, length: Length, port: int, seed: str) -> Iterator[Request]:
        return (vector_request(text, port, self._config) for text in endless_texts(length, seed))

    def check(self, response: bytes | bytearray, request: Request) -> None:
        """Counts commas, and requires a text in which JSON escapes nothing; ``parse`` does not."""
        check_status(response)
        body = response.find(HEADER_END)
        if response.find(request.echo, body) < 0:
            raise wrong("the answer does not echo the text", response)
        start = response.find(b"[", response.find(b'"vector"', body))
        end = response.find(b"]", start)
        if start < 0 or end < 0 or response.count(b",", start, end) + 1 != self._dim:
            raise wrong(f"the answer has no vector of {self._dim} components", response)

    def parse(self, response: bytes | bytearray, request: Request) -> list[float]:
        return parse_vector(response, request.echo.decode())


def vector_request(text: str, port: int, config: Mapping[str, str] = TRANSFORMERS) -> Request:
    """Weaviate's client sends more keys than the text and its configuration."""
    fields = {"text": text, "dims": 0, "vector": None, "error": "", "config": config}
    return Request(text.encode(), post("/vectors", fields, port))


def parse_vector(response: bytes | bytearray, text: str) -> list[float]:
    """The vector of a 200 that echoes the text; its length must be ``dim``, and all components must be finite.

    Raises ``LoadFailed``.
    """
    check_status(response)
    try:
        answer = json.loads(body_of(response))
        vector = [float(component) for component in answer["vector"]]
        matches = answer["text"] == text and answer["dim"] == len(vector)
    except (ValueError, TypeError, KeyError) as error:
        raise wrong(f"the answer does not follow the contract ({error})", response) from None
    if not matches or not all(map(math.isfinite, vector)):
        raise wrong("the answer's text, dim and vector do not match", response)
    return vector
