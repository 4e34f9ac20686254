"""Holds the state of a worker, and knows of the others: starting, ready, draining."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import StrEnum

from runtime.errors import Unavailable


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


class Readiness:
    """Moves forward only: once draining, it stays so, whatever finishes later. Belongs to the event loop's thread."""

    def __init__(self, others_have_started: Callable[[], bool] = lambda: True) -> None:
        """``others_have_started``: whether each of the other workers has been ready."""
        self._state, self._others_have_started = State.STARTING, others_have_started
        self._has_started = asyncio.Event()

    @property
    def state(self) -> State:
        """That of the server as a whole: it is ready once all workers have been, and while one of them is."""
        if self._state is State.READY and not self._others_have_started():
            return State.STARTING
        return self._state

    @property
    def is_ready(self) -> bool:
        """What the probe tells: whether new requests should come here."""
        return self.state is State.READY

    @property
    def can_answer(self) -> bool:
        """Whether requests are answered: from the start on, and while draining, too."""
        return self._has_started.is_set()

    async def wait(self, deadline: float | None) -> None:
        """Wait until requests can be answered. Raises ``Unavailable`` at the deadline, by the event loop's clock."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._has_started.wait()
        except TimeoutError:
            raise Unavailable(f"the server is {self.state}") from None

    def started(self) -> None:
        """The golden texts came out right."""
        self._has_started.set()
        if self._state is State.STARTING:
            self._state = State.READY

    def drain(self) -> None:
        """No new work should come from now on."""
        self._state = State.DRAINING
