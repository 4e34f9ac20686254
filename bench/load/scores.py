"""``POST /rerank``: a query and documents to scores, as Weaviate's reranker module asks for them."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence

from bench.load.texts import Length, endless_texts
from bench.load.wire import Request, body_of, check_status, post, wrong

QUERY = Length("query", 4, 10)


class Scores:
    """Implements ``Route`` for requests of ``count`` documents, whose texts have the length of the load."""

    def __init__(self, count: int) -> None:
        self._count = count

    def requests(self, length: Length, port: int, seed: str) -> Iterator[Request]:
        queries, documents = endless_texts(QUERY, f"{seed}, queries"), endless_texts(length, seed)
        while True:
            yield score_request(next(queries), list(itertools.islice(documents, self._count)), port)

    def check(self, response: bytes | bytearray, request: Request) -> None:
        """As ``parse``: beside what the server does for a request, parsing takes no time."""
        self.parse(response, request)

    def parse(self, response: bytes | bytearray, request: Request) -> list[float]:
        sent = json.loads(body_of(request.wire))
        return parse_scores(response, sent["query"], sent["documents"])


def score_request(query: str, documents: Sequence[str], port: int) -> Request:
    """Weaviate's client always sends an empty property."""
    fields = {"query": query, "property": "", "documents": list(documents)}
    return Request(query.encode(), post("/rerank", fields, port))


def parse_scores(response: bytes | bytearray, query: str, documents: Sequence[str]) -> list[float]:
    """The scores of a 200 that repeats the query, and each document in the order sent; all must be finite.

    Raises ``LoadFailed``.
    """
    check_status(response)
    try:
        answer = json.loads(body_of(response))
        repeated = [entry["document"] for entry in answer["scores"]]
        scores = [float(entry["score"]) for entry in answer["scores"]]
        matches = answer["query"] == query
    except (ValueError, TypeError, KeyError) as error:
        raise wrong(f"the answer does not follow the contract ({error})", response) from None
    if not matches or repeated != list(documents):
        raise wrong("the answer does not repeat the query and the documents in their order", response)
    if not all(map(math.isfinite, scores)):
        raise wrong("a score is not finite", response)
    return scores
