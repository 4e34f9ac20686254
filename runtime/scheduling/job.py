"""One job: a generator that inference threads advance, and the callers who await its result."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Generator, Hashable
from typing import Any, Generic, NamedTuple, TypeVar

from runtime.errors import Refusal
from runtime.scheduling.cost_class import Priority

Result = TypeVar("Result")

Run = Any
"""What a step asks for. A run is opaque to jobs and threads: only batches look inside."""


MayContinue = Callable[[int], bool]
"""Whether a job that has done so many steps in this turn may do its next one at once."""


class Step(NamedTuple):
    """A bounded amount of work was done, and this is what comes next."""

    run: Run | None
    """To be run. None: nothing yet; the job gives others a turn, and goes on at its next one."""
    left: int
    """How many runs are left, with this one; an estimate of at least 1."""


Steps = Generator[Step, Any, Result]
"""A job's steps: each is sent its run's result; the last returns the job's result."""


class Job(Generic[Result]):
    """The steps of one job and the futures that await its result. Implements ``Waiting``.

    ``waiters``, ``settle`` and ``key`` belong to the event loop. The rest belongs to the thread that has the job.
    """

    since = 0.0
    begun = False
    taken_at: float | None = None
    """When a thread had it first, in seconds of the scheduler's clock."""
    run: Run | None = None
    """What the last step asks for, until it has been run."""

    def __init__(
        self,
        steps: Steps[Result],
        loop: asyncio.AbstractEventLoop,
        cost: int = 1,
        priority: Priority = Priority.PASSAGE,
        key: Hashable = None,
    ) -> None:
        """``loop``: where the result is awaited. Jobs of one ``key`` have the same result; None is never the same."""
        self._steps, self.loop, self.cost, self.priority, self.key = steps, loop, cost, priority, key
        self.waiters: set[asyncio.Future[Result]] = set()
        self._outcome: Callable[[asyncio.Future[Result]], None] | None = None

    @property
    def has_outcome(self) -> bool:
        """Whether there is a result or an error for the callers, which ``settle`` gives to them."""
        return self._outcome is not None

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still awaits the result. Any thread may ask; once false, it stays so."""
        return bool(self.waiters)

    def prepare(self) -> bool:
        """Advance to the next run or pause, unless a run is pending. Returns whether the job has ended.

        If nobody awaits the result any more, the job is closed instead.
        """
        if not self.is_wanted:
            return self.close()
        return self.run is None and self._advance(functools.partial(next, self._steps))

    def resume(self, result: Any) -> bool:
        """Advance, given the ``result`` of the pending run or its exception. Returns as ``prepare``."""
        self.run = None
        if not self.is_wanted:
            return self.close()
        if isinstance(result, Exception):
            return self._advance(functools.partial(self._steps.throw, result))
        return self._advance(functools.partial(self._steps.send, result))

    def close(self) -> bool:
        """End without a result. Returns True."""
        with contextlib.suppress(Exception):
            self._steps.close()
        return True

    def settle(self) -> None:
        """Give the outcome to all who still await it, once."""
        # NOTE: the thread that had the job last refers to it until there is another. An error has the frames of those
        # who await it, with what was sent.
        outcome, self._outcome = self._outcome, _forgotten
        for future in self.waiters:
            if outcome is not None and not future.done():
                outcome(future)

    def _advance(self, step: Callable[[], Step]) -> bool:
        try:
            self.run, self.cost = step()
        except StopIteration as stop:
            value = stop.value
            self._outcome = lambda future: future.set_result(value)
        except BaseException as error:
            if isinstance(error, Refusal):
                # NOTE: its frames refer to the job, which has the error. Together they would keep what was sent until
                # they are collected.
                error.forget_frames()
            self._outcome = functools.partial(_fail, error)
        return self.has_outcome


def _forgotten(future: asyncio.Future[Any]) -> None:
    """Stands for an outcome that was given."""


def _fail(error: BaseException, future: asyncio.Future[Any]) -> None:
    future.set_exception(error)
