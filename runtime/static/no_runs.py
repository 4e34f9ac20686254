"""The batch of a scheduler whose jobs compute all that they need in their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.scheduling.job import MayContinue


class NoRuns:
    """Implements ``scheduler.Batch``: there are no runs, so that nothing goes into it."""

    has_capacity = False
    steps = 1

    def add(self, run: Any) -> bool:
        return False

    def run(self, cores: int, may_continue: MayContinue) -> Sequence[Any]:
        return ()
