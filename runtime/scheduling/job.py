"""Holds one piece of work between the event loop, which waits for its result, and the threads, which do its steps."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Generator, Iterable
from typing import Generic, TypeVar

Wish = TypeVar("Wish")
Answer = TypeVar("Answer")
Result = TypeVar("Result")

Settle = Callable[[], object]
"""Gives the outcome to the waiter; belongs to the event loop's thread."""


class Work(Generic[Wish, Answer, Result]):
    """``steps`` yields wishes, is sent an answer to each, and returns the result; ``future`` waits for that.

    Used by one thread at a time.
    """

    wish: Wish
    """What the last step asked for."""

    def __init__(self, steps: Generator[Wish, Answer, Result], future: asyncio.Future[Result]) -> None:
        self._steps, self._future = steps, future
        self._has_begun = False

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._future.get_loop()

    def begin(self) -> Settle | None:
        """Step to the first wish, unless that is done. Then None if there is a wish, else what ends the work.

        Work that nobody waits for any more is closed instead.
        """
        if self._future.cancelled():
            return self._step(self._close)
        if self._has_begun:
            return None
        self._has_begun = True
        return self._step(functools.partial(next, self._steps))

    def go_on(self, answer: Answer | Exception) -> Settle | None:
        """Step to the next wish, with the ``answer`` to the last one; as ``begin``."""
        if isinstance(answer, Exception):
            return self._step(functools.partial(self._steps.throw, answer))
        return self._step(functools.partial(self._steps.send, answer))

    def _step(self, step: Callable[[], Wish]) -> Settle | None:
        try:
            self.wish = step()
        except StopIteration as stop:
            return functools.partial(self._settle, self._future.set_result, stop.value)
        except BaseException as error:
            return functools.partial(self._settle, self._future.set_exception, error)
        return None

    def _close(self) -> Wish:
        self._steps.close()
        raise asyncio.CancelledError

    def _settle(self, settle: Callable[..., object], outcome: object) -> None:
        """The outcome is dropped where nobody waits for it any more."""
        if not self._future.done():
            settle(outcome)


def settle_on(loop: asyncio.AbstractEventLoop, outcomes: Iterable[Settle]) -> None:
    """Hand the outcomes over to the event loop, which is woken once for all of them."""

    def on_loop() -> None:
        for settle in outcomes:
            settle()

    # NOTE: a closed loop means that the server was killed while this ran.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(on_loop)
