"""Answers are written from the vectors' own memory: no number of them becomes an object of Python."""

from __future__ import annotations

import asyncio
import base64
import json
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from runtime.api.embeddings.layout import (
    NUMBERS_AT_A_TIME,
    Answer,
    Layout,
    WriteRows,
    rows_as_base64,
    rows_as_lists,
    rows_as_objects,
)
from runtime.api.vectors_fields import vector_answer
from runtime.batches.request import Embedded

TEXTS, DIM = 1024, 384
FLOAT_BYTES = 24
"""What Python takes for a float, besides the place of its pointer in a list."""


def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(TEXTS, DIM)).astype(np.float32)


def answer_of(layout: Layout, embedded: Embedded, handed: int = 1) -> bytearray:
    """``handed``: how many vectors come before the others."""
    found = []

    async def write() -> None:
        # NOTE: asyncio.run() makes a representation of what its coroutine returns, several times as large.
        answer = Answer(layout)
        answer.add(embedded.vectors[:handed])
        found.append(await answer.end(embedded))

    asyncio.run(write())
    return found[0]


def peak_beyond_the_answer(write: Callable[[], bytes | bytearray]) -> int:
    """Bytes at the worst moment, besides the answer itself and as much again."""
    write()
    tracemalloc.start()
    try:
        answer = write()
        return tracemalloc.get_traced_memory()[1] - 2 * len(answer)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rows", [rows_as_lists, rows_as_objects, rows_as_base64])
def test_a_batch_is_written_without_its_numbers_as_objects(rows: WriteRows):
    embedded = Embedded(vectors(), [1] * TEXTS)
    layout = Layout(b"[", lambda tokens: b"]", rows)
    room = NUMBERS_AT_A_TIME * FLOAT_BYTES
    assert room < TEXTS * DIM * FLOAT_BYTES / 10
    assert peak_beyond_the_answer(lambda: answer_of(layout, embedded)) < room


def test_the_measure_finds_a_copy_as_python_floats():
    """Else the test above would prove nothing."""

    def write(rows: np.ndarray, first: int) -> bytes:
        return json.dumps(rows.tolist())[1:-1].encode()

    embedded = Embedded(vectors(), [1] * TEXTS)

    def answer() -> bytearray:
        copied = embedded.vectors.tolist()
        assert len(copied) == TEXTS
        return answer_of(Layout(b"[", lambda tokens: b"]", write), embedded)

    assert peak_beyond_the_answer(answer) > TEXTS * DIM * FLOAT_BYTES / 2


def test_a_single_vector_is_written_without_its_numbers_as_objects():
    vector = vectors().reshape(-1)
    assert peak_beyond_the_answer(lambda: vector_answer("a text", vector)) < len(vector) * FLOAT_BYTES / 10


@pytest.mark.parametrize("handed", [0, 1, 2, 3])
def test_each_way_of_writing_gives_the_same_bits_back(handed: int):
    rows = vectors()[:3]
    embedded = Embedded(rows, [1, 2, 3])
    written = [
        json.loads(answer_of(Layout(b"[", lambda tokens: b"]", each), embedded, handed))
        for each in (rows_as_lists, rows_as_objects, rows_as_base64)
    ]
    np.testing.assert_array_equal(np.asarray(written[0], np.float32), rows)
    np.testing.assert_array_equal(np.asarray([each["embedding"] for each in written[1]], np.float32), rows)
    decoded = [np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in written[2]]
    np.testing.assert_array_equal(np.stack(decoded), rows)
    assert [each["index"] for each in written[1]] == [each["index"] for each in written[2]] == [0, 1, 2]
