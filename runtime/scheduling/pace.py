"""How long steps take, as measured, and what follows for those that wait."""

from __future__ import annotations

DUE_SHARE = 1 / 3
"""Of the time for which a job is fresh: after that it is due."""

DUE_RATIO = 10
"""A job is not due before it has waited for so many times what its steps take. So a text of a megabyte, which takes ten
seconds of its own, leaves the turns of those that are due to others."""

WEIGHT = 1 / 16
"""Of the last step in the average of all."""


class Pace:
    """Whether what waits can be served in time, and when a job is due. Until a step was measured, nothing is known."""

    def __init__(self, threads: int, fresh_seconds: float) -> None:
        self._threads, self._fresh_seconds = threads, fresh_seconds
        self._step_seconds: float | None = None

    def measure(self, seconds: float) -> None:
        """A step of a job that has more took so long on its thread."""
        mean = self._step_seconds
        self._step_seconds = seconds if mean is None else mean + WEIGHT * (seconds - mean)

    def suffices(self, steps: int) -> bool:
        """Whether so many steps are done before a job that comes now is stale."""
        return self._step_seconds is not None and steps * self._step_seconds <= self._fresh_seconds * self._threads

    def due_after(self, steps: int) -> float:
        """How many seconds after its arrival a job with so many steps left is due."""
        return max(self._fresh_seconds * DUE_SHARE, DUE_RATIO * steps * (self._step_seconds or 0.0))
