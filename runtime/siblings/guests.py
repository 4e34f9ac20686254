"""Embeds groups of texts that other workers have asked for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from runtime.batches.request import Embedded, Group
from runtime.scheduling.cost_class import Priority
from runtime.siblings.mailboxes import Mailboxes
from runtime.siblings.messages import Question, ReadLike, read_question, write_answer, write_refusal

Submit = Callable[[Group, Priority], Coroutine[Any, Any, Embedded]]
"""Runs a group as a job of this worker."""


class Guests:
    """Answers what comes into this worker's mailbox. Belongs to the event loop's thread."""

    def __init__(
        self, mailboxes: Mailboxes, own: int, submit: Submit, read_like: ReadLike, count: Callable[[int], object]
    ) -> None:
        """``own``: the number of this worker. ``count``: is told of each group that comes (1) and ends (-1)."""
        self._mailboxes, self._own, self._submit = mailboxes, own, submit
        self._read_like, self._count = read_like, count
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to look into the mailbox."""
        asyncio.get_running_loop().add_reader(self._mailboxes.fileno(self._own), self._receive)

    def _receive(self) -> None:
        while (connection := self._mailboxes.take(self._own)) is not None:
            self._count(1)
            task = asyncio.create_task(self._serve(connection))
            self._tasks.add(task)
            # NOTE: a callback, because a task that is cancelled before it begins never runs.
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._count(-1)

    async def _serve(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with suppress(OSError, EOFError):
            reader, writer = await asyncio.open_unix_connection(sock=connection)
            try:
                answer = await self._answer(await read_question(reader, self._read_like), reader)
                if isinstance(answer, Exception):
                    write_refusal(writer, answer)
                elif answer is not None:
                    write_answer(writer, answer)
            finally:
                writer.close()
            await writer.wait_closed()

    async def _answer(self, question: Question, reader: asyncio.StreamReader) -> Embedded | Exception | None:
        """The answer; None if whoever asks is gone before, for whom nothing more is computed."""
        work = asyncio.ensure_future(self._submit(question.group, question.priority))
        left = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return None
            error = work.exception()
            return error if isinstance(error, Exception) else work.result()
        finally:
            work.cancel()
            left.cancel()
