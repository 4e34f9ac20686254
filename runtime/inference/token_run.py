"""A run of one text through an engine, and the batch of such runs that share one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.inference.engine import Engine
from runtime.inference.token_batch import TokenBatch
from runtime.scheduling.job import MayContinue
from runtime.scheduling.memory_budget import MemoryBudget

Tokens = NDArray[np.float32]

MAX_BATCH_TOKENS = 128
"""A batch of several texts has at most this many tokens, which is the kernels' block of rows. Larger ones would save a
little of the Python around them, and other texts would wait longer."""


@dataclass(frozen=True)
class TokenRun:
    """A text, or a window of it, for an engine. Its result is what the batch wants, (results, hidden)."""

    engine: Engine
    """The engine to run it."""
    batch: TokenBatch
    """The text's token ids."""
    memory: int
    """Bytes that the run needs, at most."""

    @property
    def tokens(self) -> int:
        """How many tokens the text has."""
        return len(self.batch.ids)


@dataclass(frozen=True)
class ConsecutiveRuns:
    """Runs of one job that follow each other in one turn, as long as it may continue. The first is always made.

    Its result is a list, of what each run that was made would have as its own.

    PERF: a run leaves little in the caches of the Python between it and the next one, which should be as short as can
    be.
    """

    engine: Engine
    """The engine to run them."""
    batches: Sequence[TokenBatch]
    """What each of them runs. There must be one."""
    memory: int
    """Bytes that a run needs with the results of those before it, at most."""

    @property
    def tokens(self) -> int:
        """How many tokens a run has, at most."""
        return max(len(batch.ids) for batch in self.batches)


class RunBatch:
    """One run of any size, and others beside it if their engine supports batching and they fit.

    Implements ``scheduler.Batch``. Consecutive runs are alone in it.
    """

    def __init__(self, budget: MemoryBudget, max_tokens: int = MAX_BATCH_TOKENS) -> None:
        self._budget, self._max_tokens = budget, max_tokens
        self._runs: list[TokenRun] = []
        self._consecutive: ConsecutiveRuns | None = None
        self._tokens = self._memory = 0
        self.steps = 1

    @property
    def has_capacity(self) -> bool:
        """Whether there can be a run that still goes into the batch."""
        if self._consecutive is not None:
            return False
        return not self._runs or (self._runs[0].engine.supports_batching and self._tokens < self._max_tokens)

    def add(self, run: TokenRun | ConsecutiveRuns) -> bool:
        """Add the run, or return False if it does not fit. An empty batch takes any run."""
        if not self.has_capacity:
            return False
        if isinstance(run, ConsecutiveRuns):
            if self._runs:
                return False
            self._consecutive = run
            return True
        if self._runs and not self._fits(run):
            return False
        self._runs.append(run)
        self._tokens += run.tokens
        self._memory += run.memory
        return True

    def run(self, cores: int, may_continue: MayContinue) -> list[Any]:
        """Return the result of each run, in order; for a run that failed, its exception.

        If the call for all of them fails, each is repeated alone, so that one bad text does not fail the others.
        """
        try:
            if self._consecutive is not None:
                return [self._run_in_turn(self._consecutive, cores, may_continue)]
            return list(self._run_all(cores))
        except Exception as error:  # NOTE: whatever it is, each caller gets its own; none may end the inference thread.
            if len(self._runs) <= 1:
                return [error]
            return [result for run in self._runs for result in _alone(self._budget, run).run(1, may_continue)]

    def _run_in_turn(self, runs: ConsecutiveRuns, cores: int, may_continue: MayContinue) -> list[Tokens]:
        with self._budget.lease(runs.memory):
            results = [runs.engine.run(runs.batches[0], cores)]
            for batch in runs.batches[1:]:
                if not may_continue(self.steps):
                    break
                self.steps += 1
                results.append(runs.engine.run(batch, cores))
        return results

    def _fits(self, run: TokenRun) -> bool:
        return (
            run.engine is self._runs[0].engine
            and (run.batch.pooled is None) == (self._runs[0].batch.pooled is None)
            and run.engine.supports_batching
            and self._tokens + run.tokens <= self._max_tokens
            and self._budget.can_hold(self._memory + run.memory)
        )

    def _run_all(self, cores: int) -> list[Tokens]:
        if len(self._runs) == 1:
            return [self._run_together(self._runs[0].batch, cores)]
        batches = [run.batch for run in self._runs]
        results = self._run_together(TokenBatch.joined(batches), cores)
        ends = accumulate(batch.results for batch in batches)
        parts = [results[end - batch.results : end] for batch, end in zip(batches, ends, strict=True)]
        # NOTE: a vector that somebody keeps must not keep those of all other texts.
        return parts if batches[0].pooled is None else [part.copy() for part in parts]

    def _run_together(self, batch: TokenBatch, cores: int) -> Tokens:
        # NOTE: one lease for all: a thread that held one and asked for another could wait for itself.
        with self._budget.lease(self._memory):
            return self._runs[0].engine.run(batch, cores)


def _alone(budget: MemoryBudget, run: TokenRun) -> RunBatch:
    batch = RunBatch(budget)
    batch.add(run)
    return batch
