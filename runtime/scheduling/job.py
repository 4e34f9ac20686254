"""One job: a generator that inference threads advance, and the future that its caller awaits."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Generator, Iterable
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")

Run = Any
"""What a step asks for. A run is opaque to jobs and threads: only batches look inside."""

Steps = Generator[Run, Any, Result]
"""A job's steps: each yields a run and is sent that run's result; the last returns the job's result."""

Outcome = Callable[[], object]
"""An outcome settles a job's future. It must be called on the event loop's thread."""


class Job(Generic[Result]):
    """The steps of one job and the future that awaits its result. Used by one thread at a time."""

    pending: Run
    """The run that the last step yielded."""

    def __init__(self, steps: Steps[Result], future: asyncio.Future[Result]) -> None:
        self._steps, self._future = steps, future
        self._has_started = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that awaits the result."""
        return self._future.get_loop()

    def start(self) -> Outcome | None:
        """Advance to the first run, unless that was done before.

        Returns None if a run is pending, and the outcome if the job has ended. If nobody awaits the result any more,
        the job is closed instead.
        """
        if self._future.cancelled():
            return self._advance(self._close)
        if self._has_started:
            return None
        self._has_started = True
        return self._advance(functools.partial(next, self._steps))

    def resume(self, result: Any) -> Outcome | None:
        """Advance to the next run, given the ``result`` of the pending one or its exception. Returns as ``start``."""
        if isinstance(result, Exception):
            return self._advance(functools.partial(self._steps.throw, result))
        return self._advance(functools.partial(self._steps.send, result))

    def _advance(self, step: Callable[[], Run]) -> Outcome | None:
        try:
            self.pending = step()
        except StopIteration as stop:
            return functools.partial(self._settle, self._future.set_result, stop.value)
        except BaseException as error:
            return functools.partial(self._settle, self._future.set_exception, error)
        return None

    def _close(self) -> Run:
        self._steps.close()
        raise asyncio.CancelledError

    def _settle(self, settle: Callable[..., object], value: object) -> None:
        """Drops the value if nobody awaits it any more."""
        if not self._future.done():
            settle(value)


def deliver_on(loop: asyncio.AbstractEventLoop, outcomes: Iterable[Outcome]) -> None:
    """Deliver the outcomes on the event loop, which is woken once for all of them."""

    def on_loop() -> None:
        for outcome in outcomes:
            outcome()

    # NOTE: a closed loop means that the server was killed while this ran.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(on_loop)
