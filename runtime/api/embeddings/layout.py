"""Writes answers: what is before the vectors, the vectors themselves a few at a time, and what follows them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pybase64

from runtime.batches.request import Array, Embedded

NUMBERS_AT_A_TIME = 32 * 1024
"""So many are written before others have a turn: that takes a millisecond."""

BYTES_PER_NUMBER = 24
"""A number and its digits, at most."""

WriteRows = Callable[[Array, int], bytes | memoryview]
"""Writes the rows of an array, (rows, dim), the first of which has this index in the answer; with commas in between."""


def rows_as_lists(rows: Array, first: int) -> memoryview:
    """Lists of numbers, with the fewest digits that give the same bits when they are read."""
    return memoryview(orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY))[1:-1]


def rows_as_objects(rows: Array, first: int) -> memoryview:
    """OpenAI's objects, with lists of numbers."""
    listed = [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows, first)]
    return memoryview(orjson.dumps(listed, option=orjson.OPT_SERIALIZE_NUMPY))[1:-1]


def rows_as_base64(rows: Array, first: int) -> bytes:
    """OpenAI's objects, with the vectors' bytes as little-endian fp32 in base64."""
    data = rows.astype("<f4", copy=False)
    return b",".join(
        b'{"object":"embedding","index":%d,"embedding":"%s"}' % (index, pybase64.b64encode(row))
        for index, row in enumerate(data, first)
    )


@dataclass(frozen=True)
class Layout:
    """The shape of an answer. The vectors are the items of one list, or the only item in place of one."""

    head: bytes
    """Everything before the first vector."""
    tail: Callable[[int], bytes]
    """Everything after the last one, given the number of tokens."""
    rows: WriteRows = rows_as_lists


class Answer:
    """The JSON of an answer, to which vectors are added as they come."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._json = layout, bytearray(layout.head)
        self._rows = 0

    def add(self, rows: Array) -> None:
        """Add the next vectors, (texts, dim)."""
        if not len(rows):
            return
        _append(self._json, rows, self._layout.rows, self._rows)
        self._rows += len(rows)

    async def end(self, embedded: Embedded) -> bytearray:
        """Add the vectors that are not there yet, in pieces between which others have a turn; and what follows them."""
        await append_rows(self._json, embedded.vectors, self._layout.rows, self._rows)
        self._json += self._layout.tail(sum(embedded.tokens))
        return self._json


async def append_rows(answer: bytearray, vectors: Array, write: WriteRows, first: int = 0) -> None:
    """Append the rows from the ``first`` one on, in pieces with commas in between; others have a turn after each."""
    step = max(1, NUMBERS_AT_A_TIME // max(1, vectors.shape[1]))
    for start in range(first, len(vectors), step):
        if start > first:
            await asyncio.sleep(0)
        _append(answer, vectors[start : start + step], write, start)


def _append(answer: bytearray, rows: Array, write: WriteRows, first: int) -> None:
    # PERF: a piece is written where the last one was. An answer has megabytes, and new pages cost more than its digits.
    if first:
        answer += b","
    answer += write(np.ascontiguousarray(rows), first)


def around(name: str, before: dict[str, Any], after: Callable[[int], dict[str, Any]]) -> tuple[bytes, Any]:
    """Head and tail of an object that has the vectors in the list ``name``, between other fields."""
    start = orjson.dumps(before)[:-1] + (b"," if before else b"")

    def tail(tokens: int) -> bytes:
        rest = orjson.dumps(after(tokens))[1:]
        return b"]" + (b"," if len(rest) > 1 else b"") + rest

    return b'%s"%s":[' % (start, name.encode()), tail
