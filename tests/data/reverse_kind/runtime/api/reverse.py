"""``POST /reverse``: a text to its reverse."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

import orjson

from runtime.api.openapi.operation import Operation
from runtime.api.openapi.schemas import STRING, object_of
from runtime.errors import InvalidRequest

TEXT = object_of({"text": STRING})


class ReverseEndpoint:
    operation = Operation("A text backwards", TEXT, TEXT)

    def __init__(self, submit: Callable[[str, float | None], Awaitable[str]], max_characters: int) -> None:
        self._submit, self._max_characters = submit, max_characters

    def parse(self, body: bytes) -> str:
        text: str = orjson.loads(body)["text"]
        if len(text) > self._max_characters:
            raise InvalidRequest(f"text must have at most {self._max_characters} characters, not {len(text)}")
        return text

    def size(self, item: str) -> int:
        return sys.getsizeof(item)

    def fits(self, item: str) -> bool:
        return True

    async def answer(self, item: str, deadline: float | None) -> bytes:
        return orjson.dumps({"text": await self._submit(item, deadline)})
