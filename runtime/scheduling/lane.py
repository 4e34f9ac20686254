"""The waiting jobs of one priority: few steps before many, and none waits for ever."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Generic

from runtime.scheduling.cost_class import CostClass, Item
from runtime.scheduling.pace import Pace

TURNS_UNTIL_OLDEST = 5
"""Of so many turns, one goes to the class whose first job is the oldest, whatever its cost."""

DUE_TURNS = (1, 3)
"""Those of them that go to a job that is due. The short ones have every second turn, however many are due."""

SHORT = 1
"""The cost of a job that is done in one step."""


class Lane(Generic[Item]):
    """Serves the fewest steps first. A stream of short jobs leaves one turn of five to the longer ones.

    It leaves two more to those that are due, as long as all that waits can be served in time.
    """

    def __init__(self, fresh_seconds: float) -> None:
        self._fresh_seconds = fresh_seconds
        # PERF: nearly every job is short, so that this class is kept when it is empty.
        self._short: CostClass[Item] = CostClass(fresh_seconds)
        self._classes = {SHORT: self._short}
        # The costs of the classes that are not empty, ascending.
        self._costs: list[int] = []
        self._turn = 0
        self._steps = 0

    def __bool__(self) -> bool:
        return bool(self._costs)

    @property
    def short(self) -> int:
        """How many jobs are done in one step."""
        return len(self._short)

    @property
    def steps(self) -> int:
        """How many steps all jobs have left."""
        return self._steps

    def costs_within(self, least: int, most: int) -> bool:
        """Whether every job has at least and at most so many steps left; also if there is none."""
        return not self._costs or (least <= self._costs[0] and self._costs[-1] <= most)

    def add(self, item: Item, first: bool = False) -> None:
        """Add the job to its class; see ``CostClass.add``."""
        jobs = self._classes.get(item.cost)
        if jobs is None:
            jobs = self._classes[item.cost] = CostClass(self._fresh_seconds)
        if not jobs:
            insort(self._costs, item.cost)
        jobs.add(item, first)
        self._steps += item.cost

    def discard(self, item: Item) -> bool:
        """Remove the job. Returns whether it was there."""
        jobs = self._classes.get(item.cost)
        if jobs is None or not jobs.discard(item):
            return False
        self._has_left(item.cost, jobs)
        return True

    def is_stale(self, item: Item) -> bool:
        """Whether the job waits behind all fresh ones of its class."""
        return item.cost in self._classes and self._classes[item.cost].is_stale(item)

    def take(self, now: float, pace: Pace | None) -> Item:
        """Remove and return the job whose turn it is. There must be one. ``pace``: None if no job is ever due."""
        if len(self._costs) > 1:
            self._turn = (self._turn + 1) % TURNS_UNTIL_OLDEST
            if self._turn == 0:
                return self._take_of(self._oldest(now), now)
            if pace is not None and self._turn in DUE_TURNS and (due := self._due(now, pace)):
                return self._take_of(due, now)
        return self._take_of(self._costs[0], now)

    def take_short(self, now: float, most: int = SHORT) -> Item | None:
        """Remove and return the next job of the fewest steps, which is no turn; None if all have more than ``most``."""
        return self._take_of(self._costs[0], now) if self._costs and self._costs[0] <= most else None

    def _take_of(self, cost: int, now: float) -> Item:
        jobs = self._classes[cost]
        item = jobs.take(now)
        self._has_left(cost, jobs)
        return item

    def _has_left(self, cost: int, jobs: CostClass[Item]) -> None:
        self._steps -= cost
        if not jobs:
            del self._costs[bisect_left(self._costs, cost)]
            if jobs is not self._short:
                del self._classes[cost]

    def _oldest(self, now: float) -> int:
        """The cost of the class whose first job came before those of all others."""
        return min(self._costs, key=lambda cost: self._classes[cost].first(now).since)

    def _due(self, now: float, pace: Pace) -> int:
        """The cost of the class whose first job has been due for longest; 0 if none is. A stale one never is."""
        due_since, due = now, 0
        for cost in self._costs:
            jobs = self._classes[cost]
            job = jobs.first(now)
            since = job.since + pace.due_after(cost)
            if since <= due_since and not jobs.is_stale(job):
                due_since, due = since, cost
        return due
