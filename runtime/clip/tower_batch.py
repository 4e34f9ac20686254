"""What an inference thread runs at a time: texts that share a run, or one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.clip.image_embedder import ImageRun
from runtime.inference.token_run import ConsecutiveRuns, RunBatch, TokenRun
from runtime.scheduling.job import MayContinue
from runtime.scheduling.memory_budget import MemoryBudget


class TowerBatch:
    """Implements ``scheduler.Batch``: the first run decides for which tower it is."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._texts = RunBatch(budget)
        self._has_texts = False
        self._image: ImageRun | None = None

    @property
    def has_capacity(self) -> bool:
        return self._image is None and self._texts.has_capacity

    def add(self, run: TokenRun | ConsecutiveRuns | ImageRun) -> bool:
        if isinstance(run, TokenRun | ConsecutiveRuns):
            added = self._image is None and self._texts.add(run)
            self._has_texts |= added
            return added
        if self._has_texts or self._image is not None:
            return False
        self._image = run
        return True

    @property
    def steps(self) -> int:
        return self._texts.steps

    def run(self, cores: int, may_continue: MayContinue) -> Sequence[Any]:
        if self._image is None:
            return self._texts.run(cores, may_continue)
        try:
            return [self._image.run(cores)]
        except Exception as error:  # NOTE: whatever it is, it is the image's own; none may end the inference thread.
            return [error]
