"""Memory for the figures of all workers: made by the master before it forks, a row for each worker."""

from __future__ import annotations

import mmap

from runtime.metrics.layout import GAUGES, NUMBERS, PROCESS

NUMBER_BYTES = 8

RESTARTS = 0
"""The master's only figure."""


class Board:
    """Rows of float64. Each is written by one process alone, and read by all.

    Counters of a worker that ended stay in its row, and its successor goes on with them.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._numbers = memoryview(mmap.mmap(-1, (workers + 1) * NUMBERS * NUMBER_BYTES)).cast("d")

    def row(self, worker: int) -> memoryview[float]:
        """The row of the worker of that number."""
        return self._numbers[worker * NUMBERS : (worker + 1) * NUMBERS]

    def rows(self) -> list[memoryview[float]]:
        """Those of all workers."""
        return [self.row(worker) for worker in range(self.workers)]

    @property
    def restarts(self) -> int:
        """How many workers have ended unasked."""
        return int(self._numbers[self.workers * NUMBERS + RESTARTS])

    def clear(self, worker: int) -> None:
        """The worker of that number has ended, and with it all that was in progress; called by the master."""
        row = self.row(worker)
        row[PROCESS] = 0
        for gauge in GAUGES:
            row[gauge.start] = 0

    def count_restart(self) -> None:
        """Count a worker that ended unasked; called by the master."""
        self._numbers[self.workers * NUMBERS + RESTARTS] += 1
