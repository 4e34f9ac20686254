"""Decides when the successor of a worker that ended unasked may start, and when to give up."""

from __future__ import annotations

DELAYS: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Seconds before the next worker starts, after the first end in a row, the second, and so on; then always the last."""

STEADY_SECONDS = 60.0
"""A worker that was ready for so long ends a row."""

MOST_IN_A_ROW = 10

MOST_BEFORE_READY = 5
"""While no worker has ever been ready: the container is too small for the model, or the library does not fit."""


class Restarts:
    """Counts the ends in a row. Times are seconds of the monotonic clock."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._any_was_ready = False

    def worker_ended(self, now: float, ready_at: float | None) -> float | None:
        """Return the seconds to wait before the next start, or None to give up.

        ``ready_at``: when the worker became ready; None if it never did.
        """
        if ready_at is not None:
            self._any_was_ready = True
            if now - ready_at >= STEADY_SECONDS:
                self._in_a_row = 0
        self._in_a_row += 1
        if self._in_a_row >= (MOST_IN_A_ROW if self._any_was_ready else MOST_BEFORE_READY):
            return None
        return DELAYS[min(self._in_a_row, len(DELAYS)) - 1]

    @property
    def why_to_give_up(self) -> str:
        """A sentence for the log."""
        if self._any_was_ready:
            return f"{self._in_a_row} workers ended shortly after each other"
        return f"{self._in_a_row} workers ended before any was ready"
