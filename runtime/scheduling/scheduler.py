"""Serves the works of all requests, step by step, on the inference threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Generic, Protocol, TypeVar

from runtime.scheduling.job import Work, settle_on
from runtime.scheduling.ready_queue import Line

Item = TypeVar("Item")
Wish = TypeVar("Wish")
Answer = TypeVar("Answer")
Result = TypeVar("Result")
GroupWish = TypeVar("GroupWish", contravariant=True)
GroupAnswer = TypeVar("GroupAnswer", covariant=True)


class Group(Protocol[GroupWish, GroupAnswer]):
    """Wishes that are granted together."""

    @property
    def is_open(self) -> bool:
        """Whether there may be a wish that it takes."""

    def add(self, wish: GroupWish) -> bool:
        """Take it in; False where it does not go with the others. The first is always taken."""

    def run(self, cores: int) -> Sequence[GroupAnswer | Exception]:
        """An answer to each, in order."""


class WorkQueue(Generic[Item, Wish, Answer, Result]):
    """First come, first served; as many threads as cores.

    ``begin(item)`` gives a generator: each step does a bounded piece of work, yields a wish and is sent the answer.
    A thread takes what waits longest, and with it what comes next in the line as long as the wishes go into one group,
    up to its fair share of the line, so that no other thread is left without. Work that is not finished then goes to
    the end of the line, so that long works do not hold up short ones. Steps of one work run on any of the threads, one
    after the other. A group may use all cores when nothing else is in flight, else one. ``submit`` and ``in_flight``
    belong to the event loop's thread.
    """

    def __init__(
        self,
        begin: Callable[[Item], Generator[Wish, Answer, Result]],
        new_group: Callable[[], Group[Wish, Answer]],
        cores: int,
    ) -> None:
        self._begin, self._new_group, self._cores = begin, new_group, cores
        self._threads = [threading.Thread(target=self._serve, name=f"inference-{n}") for n in range(cores)]
        self._line: Line[Work[Wish, Answer, Result]] = Line(cores)
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Work submitted and not finished, waiting or running."""
        return self._in_flight

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the threads; returns when they have ended."""
        self._line.close()
        for thread in self._threads:
            thread.join()

    async def submit(self, item: Item) -> Result:
        """Wait for the result; raises what ``begin`` or a step raised.

        Work whose waiter was cancelled is closed before its next step: dropped unrun, if it has not begun.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._in_flight += 1
        self._line.put(Work(self._steps(item), future))
        try:
            return await future
        finally:
            self._in_flight -= 1

    def _steps(self, item: Item) -> Generator[Wish, Answer, Result]:
        """Calls ``begin`` at the first step, and thereby on an inference thread."""
        return (yield from self._begin(item))

    def _serve(self) -> None:
        work = self._line.next()
        while work is not None:
            group, members = self._gather(work)
            work = self._line.next(self._run(group, members))

    def _gather(
        self, first: Work[Wish, Answer, Result]
    ) -> tuple[Group[Wish, Answer], list[Work[Wish, Answer, Result]]]:
        """A group with the first work's wish and those that go with it, and their works; none if all have ended."""
        group, members, taken = self._new_group(), [], 0
        work: Work[Wish, Answer, Result] | None = first
        while work is not None:
            taken += 1
            if (outcome := work.begin()) is not None:
                settle_on(work.loop, [outcome])
            elif group.add(work.wish):
                members.append(work)
            else:
                self._line.put_back(work)
                break
            work = self._line.another(taken) if group.is_open else None
        return group, members

    def _run(
        self, group: Group[Wish, Answer], members: list[Work[Wish, Answer, Result]]
    ) -> list[Work[Wish, Answer, Result]]:
        """Those that have more to do."""
        if not members:
            return []
        answers = group.run(self._cores if self._in_flight == len(members) else 1)
        outcomes = [(work, work.go_on(answer)) for work, answer in zip(members, answers, strict=True)]
        if ended := [outcome for _, outcome in outcomes if outcome is not None]:
            settle_on(members[0].loop, ended)
        return [work for work, outcome in outcomes if outcome is None]
