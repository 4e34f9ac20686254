"""Which jobs are alone, and run on the event loop's own thread: those that are over in a moment, as others were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from runtime.scheduling.pace import WEIGHT

LONGEST_SECONDS = 0.001
"""A run that is expected to take longer leaves the event loop free. To parse a body of 64 KiB takes it almost as long,
and a request that arrives during a lone run on all cores gains little by another thread before the run is over."""

MEASURED_RUNS = 8
"""So many runs of a size are measured on the inference threads first. The very first ones are slow."""

IN_A_ROW = 8
"""So many jobs have to come alone first. Among several callers, there are moments with one."""


class LoneJobs:
    """What is known of lone jobs: how long their runs take, and how many came in a row. ``measure`` is thread-safe.

    ``requests``: how many requests this process has in progress, that of the job among them, from their heads on.
    """

    def __init__(self, size_of: Callable[[Any], int], longest_seconds: float = LONGEST_SECONDS) -> None:
        """``size_of``: how much a run computes; about twice as much takes about twice as long."""
        self._size_of, self._longest_seconds = size_of, longest_seconds
        self.requests: Callable[[], int] = _one
        self._in_a_row = 0
        # By the power of two up to which the size is.
        self._seconds: dict[int, float] = {}
        self._runs: dict[int, int] = {}

    def arrives(self, in_flight: int) -> bool:
        """A job has come, while so many others are in flight. Returns whether it is alone, as those before it were."""
        if in_flight or self.requests() > 1:
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        return self._in_a_row > IN_A_ROW

    async def look_around(self) -> None:
        """Now and then, after a run on the event loop and before its answer: did another request come meanwhile?

        Else two callers could take turns for good, each alone in its own, and none would have a core of its own.
        """
        if self._in_a_row % IN_A_ROW == 0:
            # NOTE: the event loop reads what has arrived.
            await asyncio.sleep(0)
            if self.requests() > 1:
                self._in_a_row = 0

    def measure(self, run: Any, seconds: float) -> None:
        """A run took so long on all cores, with what its job did after it."""
        size = self._class_of(run)
        mean = self._seconds.get(size, seconds)
        self._seconds[size] = mean + WEIGHT * (seconds - mean)
        self._runs[size] = self._runs.get(size, 0) + 1

    def is_quick(self, run: Any) -> bool:
        """Whether runs of about that size hold nobody up. Before enough of them were measured, they may."""
        size = self._class_of(run)
        return self._runs.get(size, 0) >= MEASURED_RUNS and self._seconds[size] <= self._longest_seconds

    def _class_of(self, run: Any) -> int:
        return self._size_of(run).bit_length()


def _one() -> int:
    return 1
