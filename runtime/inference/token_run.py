"""Defines what a step of work wants run, and the group of such wishes that share one run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from runtime.inference.engine import Engine
from runtime.inference.token_batch import TokenBatch
from runtime.scheduling.memory_budget import MemoryBudget

Tokens = NDArray[np.float32]

GROUP_TOKENS = 128
"""A run over several texts has at most so many: the kernels' block of rows. More saves nothing, and lets the first of
them wait."""


@dataclass(frozen=True)
class TokenRun:
    """A text, or a window of it, for an engine; the answer to it is (tokens, hidden). ``memory``: bytes, at most."""

    engine: Engine
    batch: TokenBatch
    memory: int

    @property
    def tokens(self) -> int:
        return len(self.batch.ids)


class RunGroup:
    """What goes into one run: a first wish of any kind, and others where its engine joins texts and they have room."""

    def __init__(self, budget: MemoryBudget, limit: int = GROUP_TOKENS) -> None:
        self._budget, self._limit = budget, limit
        self._runs: list[TokenRun] = []
        self._tokens = self._memory = 0

    @property
    def is_open(self) -> bool:
        """Whether there may be a wish that it takes."""
        return not self._runs or (self._runs[0].engine.joins_texts and self._tokens < self._limit)

    def add(self, run: TokenRun) -> bool:
        """Take it in; False where it does not go with the others."""
        if self._runs and not self._has_room(run):
            return False
        self._runs.append(run)
        self._tokens += run.tokens
        self._memory += run.memory
        return True

    def run(self, cores: int) -> list[Tokens | Exception]:
        """An answer to each, in order. If the run over all fails, each is run alone, so that others do not suffer."""
        try:
            return list(self._run_all(cores))
        except Exception as error:
            if len(self._runs) == 1:
                return [error]
            return [answer for run in self._runs for answer in _alone(self._budget, run).run(1)]

    def _has_room(self, run: TokenRun) -> bool:
        return (
            run.engine is self._runs[0].engine
            and run.engine.joins_texts
            and self._tokens + run.tokens <= self._limit
            and self._budget.holds(self._memory + run.memory)
        )

    def _run_all(self, cores: int) -> list[Tokens]:
        batches = [run.batch for run in self._runs]
        # NOTE: one lease for all: a thread that held one and asked for another could wait for itself.
        with self._budget.lease(self._memory):
            tokens = self._runs[0].engine.run(TokenBatch.joined(batches), cores)
        ends = accumulate(run.tokens for run in self._runs)
        return [tokens[end - run.tokens : end] for run, end in zip(self._runs, ends, strict=True)]


def _alone(budget: MemoryBudget, run: TokenRun) -> RunGroup:
    group = RunGroup(budget)
    group.add(run)
    return group
