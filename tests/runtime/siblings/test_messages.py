"""Questions and answers arrive at another worker as they were sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifest import PoolingMode
from runtime.batches.request import Embedded, Group
from runtime.errors import InferenceFailed, InvalidRequest
from runtime.scheduling.cost_class import Priority
from runtime.siblings.messages import (
    NotEmbedded,
    Question,
    ReadLike,
    read_answer,
    read_question,
    write_answer,
    write_question,
    write_refusal,
)
from runtime.static.request import StaticRequest
from runtime.text.request import EmbedRequest

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5)
TEXT_LIKE = EmbedRequest("", "passages", "passage: ", (PoolingMode.MEAN, PoolingMode.CLS), 3, 64, True, True)
STATIC_LIKE = StaticRequest("", "", None)


class Written:
    """A writer that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def sent(write: Callable[[Any], None], read: Callable[[asyncio.StreamReader], Coroutine[Any, Any, Any]]) -> Any:
    """What is read of what was written."""
    written = Written()
    write(written)
    return received(written.data, read)


def received(data: bytes, read: Callable[[asyncio.StreamReader], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await read(reader)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("like", "read_like"), [(TEXT_LIKE, EmbedRequest.of_fields), (STATIC_LIKE, StaticRequest.of_fields)]
)
@given(texts=TEXTS, priority=st.sampled_from(Priority))
def test_a_question(like: Any, read_like: ReadLike, texts: list[str], priority: Priority):
    question = Question(Group(texts, [f"input[{i}]" for i in range(len(texts))], like), priority)
    found = sent(lambda writer: write_question(writer, question), lambda reader: read_question(reader, read_like))
    assert found == question
    assert found.group.like.is_query == like.is_query


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(texts=st.integers(0, 5), dim=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_an_answer_has_the_same_bits(dtype: type, texts: int, dim: int, seed: int):
    bits = np.random.default_rng(seed).integers(0, 256, (texts, dim * np.dtype(dtype).itemsize), np.uint8)
    answer = Embedded(bits.view(dtype), list(range(texts)))
    found = sent(lambda writer: write_answer(writer, answer), read_answer)
    assert found.vectors.dtype == dtype
    assert found.vectors.shape == (texts, dim)
    assert found.vectors.tobytes() == answer.vectors.tobytes()
    assert found.tokens == answer.tokens


def test_an_error_of_the_callers_keeps_its_sentence():
    with pytest.raises(InvalidRequest, match=r"^input\[3\]: the text is too long$"):
        sent(lambda writer: write_refusal(writer, InvalidRequest("input[3]: the text is too long")), read_answer)


def test_of_any_other_error_nothing_is_told():
    with pytest.raises(NotEmbedded):
        sent(lambda writer: write_refusal(writer, InferenceFailed("secret")), read_answer)


def test_a_connection_that_ends_in_between():
    written = Written()
    write_answer(written, Embedded(np.ones((2, 3), np.float32), [1, 1]))
    for end in range(len(written.data)):
        with pytest.raises(EOFError):
            received(written.data[:end], read_answer)
