"""What two workers write to each other over a connection: one question, and one answer.

A message is a head in JSON and a body, each with its length in front. The body of an answer is the vectors' bytes.
"""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from runtime.batches.request import Embedded, Group
from runtime.errors import InvalidRequest
from runtime.scheduling.cost_class import Priority

LENGTH_BYTES = 8

ReadLike = Callable[[Mapping[str, Any]], Any]
"""Makes ``Group.like`` again of its fields."""


class NotEmbedded(Exception):
    """The other worker could not do it, for a reason that is its own."""


@dataclass(frozen=True)
class Question:
    """Texts to embed, and who waits for them."""

    group: Group
    priority: Priority


def write_question(writer: StreamWriter, question: Question) -> None:
    """Send the texts, as far as the kernel takes them, and the rest later."""
    group = question.group
    head = {"texts": group.texts, "names": group.names, "like": group.like, "priority": question.priority}
    _write(writer, head, b"")


async def read_question(reader: StreamReader, read_like: ReadLike) -> Question:
    """Raises ``EOFError`` where the connection ends before."""
    head, _ = await _read(reader)
    group = Group(head["texts"], head["names"], read_like(head["like"]))
    return Question(group, Priority(head["priority"]))


def write_answer(writer: StreamWriter, answer: Embedded) -> None:
    """Send the vectors."""
    vectors = np.ascontiguousarray(answer.vectors)
    head = {"dtype": vectors.dtype.str, "shape": vectors.shape, "tokens": list(answer.tokens)}
    _write(writer, head, vectors.tobytes())


def write_refusal(writer: StreamWriter, error: Exception) -> None:
    """Send what was raised in place of the vectors. Only of the caller's own errors is the reason read."""
    _write(writer, {"invalid": str(error) if isinstance(error, InvalidRequest) else None}, b"")


async def read_answer(reader: StreamReader) -> Embedded:
    """The vectors. Raises ``InvalidRequest``, ``NotEmbedded``, and ``EOFError`` where the connection ends before."""
    head, body = await _read(reader)
    if "invalid" not in head:
        vectors = np.frombuffer(body, head["dtype"]).reshape(head["shape"])
        return Embedded(vectors, head["tokens"])
    if head["invalid"] is None:
        raise NotEmbedded("the other worker failed")
    raise InvalidRequest(head["invalid"])


def _write(writer: StreamWriter, head: Mapping[str, Any], body: bytes) -> None:
    for data in (orjson.dumps(head), body):
        writer.write(len(data).to_bytes(LENGTH_BYTES, "little") + data)


async def _read(reader: StreamReader) -> tuple[Any, bytes]:
    head = orjson.loads(await _read_part(reader))
    return head, await _read_part(reader)


async def _read_part(reader: StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "little")
    return await reader.readexactly(size)
