"""``/embed_all`` and ``/tokenize``: what text-embeddings-inference answers about each token of a text."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson

from runtime.api.embeddings.asked import Served
from runtime.api.embeddings.endpoint import LikeOf, Parse
from runtime.api.embeddings.layout import append_rows, rows_as_lists
from runtime.api.embeddings.tei import describe_all, describe_tokenize, parse_all, parse_tokenize
from runtime.api.endpoint import Json, LargeAnswer
from runtime.api.json_body import parse_object
from runtime.api.openapi.operation import Operation
from runtime.batches.each_text import EachText, PerToken
from runtime.batches.request import BatchRequest
from runtime.text.token_listing import ListedToken

BYTES_PER_LISTED_TOKEN = 128
"""Its JSON, at most, unless its text is long."""

SPECIAL_TOKENS = 16
"""More than any tokenizer puts around a text."""

WriteAnswer = Callable[[Sequence[PerToken]], Awaitable[Json]]


@dataclass(frozen=True)
class TokenRoute:
    """One of the two routes."""

    parse: Parse
    describe: Callable[[Served], Operation]
    write: WriteAnswer


@dataclass(frozen=True)
class TokenQuestion(LargeAnswer):
    request: BatchRequest


class TokensEndpoint:
    """Implements ``Endpoint``. ``texts`` answers each text of a request."""

    def __init__(self, route: TokenRoute, served: Served, like_of: LikeOf, texts: EachText, token_bytes: int) -> None:
        """``token_bytes``: what the answer takes for a token, at most."""
        self.operation = route.describe(served)
        self._route, self._served, self._like_of = route, served, like_of
        self._texts, self._token_bytes = texts, token_bytes

    def parse(self, body: bytes) -> TokenQuestion:
        asked = self._route.parse(parse_object(body, "an object"), self._served)
        request = BatchRequest(asked.texts, asked.field, asked.is_list, self._like_of(asked.choice))
        characters = sum(map(len, asked.texts)) + SPECIAL_TOKENS * len(asked.texts)
        return TokenQuestion(min(characters, self._texts.max_tokens) * self._token_bytes, request)

    def size(self, item: TokenQuestion) -> int:
        return sum(map(sys.getsizeof, item.request.texts))

    def fits(self, item: TokenQuestion) -> bool:
        return True

    async def answer(self, item: TokenQuestion, deadline: float | None) -> Json:
        return await self._route.write(await self._texts.results(item.request, deadline))


async def write_vectors(found: Sequence[PerToken]) -> bytearray:
    """A list of vectors for each text, one for each token."""
    answer = bytearray(b"[")
    for index, each in enumerate(found):
        answer += b",[" if index else b"["
        await append_rows(answer, each.value, rows_as_lists)
        answer += b"]"
    answer += b"]"
    return answer


async def write_listings(found: Sequence[PerToken]) -> bytes:
    """A list of tokens for each text, whose pieces ``write_tokens`` has made."""
    return b"[%s]" % b",".join(b"[%s]" % b",".join(each.value) for each in found)


def write_tokens(tokens: list[ListedToken]) -> bytes:
    """The JSON of tokens, with commas in between."""
    return orjson.dumps(tokens)[1:-1]


EMBED_ALL = TokenRoute(parse_all, describe_all, write_vectors)
TOKENIZE = TokenRoute(parse_tokenize, describe_tokenize, write_listings)
