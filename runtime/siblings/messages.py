"""What two workers write to each other over a connection: one question, and one answer."""

from __future__ import annotations

import pickle
from asyncio import StreamReader, StreamWriter
from dataclasses import dataclass
from typing import Any

from runtime.batches.request import Embedded, Group
from runtime.scheduling.cost_class import Priority

LENGTH_BYTES = 8


@dataclass(frozen=True)
class Question:
    """Texts to embed, and who waits for them."""

    group: Group
    priority: Priority


Answer = Embedded | Exception
"""The vectors, or what was raised in their place."""


def write(writer: StreamWriter, message: Question | Answer) -> None:
    """Send the message, as far as the kernel takes it, and the rest later."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    writer.write(len(data).to_bytes(LENGTH_BYTES, "little") + data)


async def read(reader: StreamReader) -> Any:
    """The next message. Raises ``EOFError`` where the connection ends before."""
    size = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "little")
    # NOTE: a pickle can do anything. Only processes of this server, forked from one master, hold the other end.
    return pickle.loads(await reader.readexactly(size))  # noqa: S301
