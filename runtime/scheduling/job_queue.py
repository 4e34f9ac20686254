"""Which waiting job is next: the scheduler's policy, without threads, locks or a clock."""

from __future__ import annotations

from typing import Generic

from runtime.scheduling.cost_class import Item, Priority
from runtime.scheduling.lane import SHORT, Lane
from runtime.scheduling.pace import Pace

TURNS_UNTIL_PASSAGE = 5
"""Of so many turns, one goes to the passages where queries wait, too."""

SIMILAR_STEPS = 4
"""A job that has at most so many steps more than another waits while that one continues. Longer ones get their turns of
five."""


class JobQueue(Generic[Item]):
    """Queries before passages, which get one turn of five; in each, see ``Lane``. Deterministic.

    Times are in seconds and never go back.
    """

    def __init__(self, fresh_seconds: float, threads: int = 1) -> None:
        """``threads``: how many steps are done at a time."""
        self._pace = Pace(threads, fresh_seconds)
        self._queries: Lane[Item] = Lane(fresh_seconds)
        self._passages: Lane[Item] = Lane(fresh_seconds)
        self._turn = 0

    def __bool__(self) -> bool:
        return bool(self._queries or self._passages)

    @property
    def short(self) -> int:
        """How many jobs are done in one step."""
        return self._queries.short + self._passages.short

    @property
    def steps(self) -> int:
        """How many steps all jobs have left."""
        return self._queries.steps + self._passages.steps

    def add(self, item: Item, first: bool = False) -> None:
        """Add a job; ``first``: before all of its cost and priority, if it was begun."""
        self._lane(item.priority).add(item, first)

    def discard(self, item: Item) -> bool:
        """Remove the job. Returns whether it was there."""
        return self._lane(item.priority).discard(item)

    def join(self, item: Item, priority: Priority, now: float) -> None:
        """One more caller awaits the job, at this priority. A job that is stale becomes fresh for its sake."""
        is_stale = self._lane(item.priority).is_stale(item)
        if priority >= item.priority and not is_stale:
            return
        # A job that does not wait is with a thread, which may bring it back.
        waits = self.discard(item)
        item.priority = min(item.priority, priority)
        if is_stale:
            item.since = now
        if waits:
            self.add(item)

    def may_continue(self, item: Item, steps: int) -> bool:
        """Whether a job that was taken may do another step in this turn, in which it has done so many.

        It may where only jobs of its priority wait that have about as many steps left, and none has fewer.
        """
        lane, other = self._lanes(item.priority)
        return not other and lane.costs_within(item.cost - steps, item.cost + SIMILAR_STEPS)

    def measure(self, seconds: float) -> None:
        """A step of a job that has more took so long. Without any measure, no job is ever due."""
        self._pace.measure(seconds)

    def take(self, now: float) -> Item | None:
        """Remove and return the job whose turn it is; None if there is none."""
        lane = self._next_lane()
        if not lane:
            return None
        is_in_time = self._pace.suffices(self.steps)
        item = lane.take(now, self._pace if is_in_time else None)
        item.begun = True
        return item

    def take_short(self, priority: Priority, now: float, most: int = SHORT) -> Item | None:
        """Remove and return a job of at most so many steps, if there is one: of this priority before the other.

        It goes along with a job whose turn it is, and is no turn of its own.
        """
        for lane in self._lanes(priority):
            if (item := lane.take_short(now, most)) is not None:
                item.begun = True
                return item
        return None

    def _lane(self, priority: Priority) -> Lane[Item]:
        return self._queries if priority is Priority.QUERY else self._passages

    def _lanes(self, priority: Priority) -> tuple[Lane[Item], Lane[Item]]:
        """The lane of this priority, and the other one."""
        return (self._queries, self._passages) if priority is Priority.QUERY else (self._passages, self._queries)

    def _next_lane(self) -> Lane[Item]:
        if not self._queries:
            return self._passages
        if not self._passages:
            return self._queries
        self._turn = (self._turn + 1) % TURNS_UNTIL_PASSAGE
        return self._passages if self._turn == 0 else self._queries
