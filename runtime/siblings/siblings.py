"""Spreads the groups of large requests over the workers of a server."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator, Sequence

from runtime.batches.request import Embedded, Group
from runtime.errors import InvalidRequest, describe
from runtime.scheduling.cost_class import Priority
from runtime.siblings.guests import Submit
from runtime.siblings.mailboxes import Mailboxes
from runtime.siblings.messages import Question, read_answer, write_question

PER_THREAD = 2
"""A sibling has so many groups and requests in progress for each of its threads, at most, when it is asked for more:
one that is computed, and one that waits."""

MAX_CHARACTERS = 4096
"""Of the texts of a group together. What is longer takes seconds, and stays."""

PATIENCE_SECONDS = 10.0
"""An answer that does not come is not waited for any longer. The sibling hangs, or has far more to do than this one."""

SILENT_SECONDS = 60.0
"""Whoever has not answered in time is not asked for so long."""

RequestsOf = Callable[[int], int | None]
"""How many requests a worker has in progress, by its number; None: it should not be asked for anything."""

log = logging.getLogger("cpu2vec")


class Siblings:
    """Implements ``batcher.Spread``: this worker and the others, by their numbers. Belongs to the event loop's thread.

    What goes wrong with another one, this one makes good: it embeds the group itself. What another one asks for is
    never passed on, because it does not come this way.
    """

    def __init__(
        self,
        mailboxes: Mailboxes,
        own: int,
        cores: Sequence[int],
        submit: Submit,
        in_flight: int,
        requests_of: RequestsOf,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """``cores``: of each worker. ``submit``: runs a group here. ``in_flight``: the most groups of its own here.

        Short requests may have more.
        """
        self._mailboxes, self._own, self._cores, self._submit = mailboxes, own, cores, submit
        self._in_flight, self._requests_of, self._patience = in_flight, requests_of, patience
        # The groups that are in progress, by worker.
        self._groups = [0] * len(cores)
        # When each may be asked again, by the event loop's clock.
        self._silent_until = [0.0] * len(cores)

    @property
    def threads(self) -> int:
        """Those of this worker, and of those that have nothing to do."""
        return self._cores[self._own] + sum(cores for _, cores, load in self._others() if load == 0)

    def take(self, is_short: bool = False) -> int | None:
        """The worker that has the least to do for each of its threads, this one before others; None: all are busy.

        Short requests may have one more here for each thread.
        """
        found, least = None, float("inf")
        if self._groups[self._own] < self._in_flight + (self._cores[self._own] if is_short else 0):
            found, least = self._own, self._groups[self._own] / self._cores[self._own]
        for number, cores, load in self._others():
            if load < PER_THREAD * cores and load / cores < least:
                found, least = number, load / cores
        if found is not None:
            self._groups[found] += 1
        return found

    def free(self, place: int) -> None:
        self._groups[place] -= 1

    async def run(self, place: int, group: Group, priority: Priority) -> Embedded:
        """The vectors, from whichever worker. Raises what embedding them here raises."""
        if place != self._own and sum(map(len, group.texts)) <= MAX_CHARACTERS:
            try:
                return await self._ask(place, Question(group, priority))
            except InvalidRequest:
                raise
            except TimeoutError:
                self._silent_until[place] = asyncio.get_running_loop().time() + SILENT_SECONDS
                log.debug("worker %d did not answer", place)
            except Exception as error:  # NOTE: whatever it is, this worker can do without the other one.
                log.debug("worker %d did not embed %d texts: %s", place, len(group.texts), describe(error))
        return await self._submit(group, priority)

    def _others(self) -> Iterator[tuple[int, int, int]]:
        """The number, the threads and the load of each that may be asked."""
        for number, cores in enumerate(self._cores):
            if number == self._own or self._is_silent(number):
                continue
            if (requests := self._requests_of(number)) is not None:
                # What this worker has just sent may not be among those requests yet.
                yield number, cores, max(requests, self._groups[number])

    def _is_silent(self, number: int) -> bool:
        # PERF: hardly anybody ever is, and who is not needs no clock.
        until = self._silent_until[number]
        return until > 0 and asyncio.get_running_loop().time() < until

    async def _ask(self, number: int, question: Question) -> Embedded:
        """Raises what the other worker raised, ``OSError`` and ``EOFError`` where it is gone, and ``TimeoutError``."""
        here, there = socket.socketpair()
        with there:
            try:
                here.setblocking(False)
                self._mailboxes.put(number, there)
            except BaseException:
                here.close()
                raise
        reader, writer = await asyncio.open_unix_connection(sock=here)
        try:
            async with asyncio.timeout(self._patience):
                write_question(writer, question)
                return await read_answer(reader)
        finally:
            # A question that is not answered yet is dropped there.
            writer.close()
