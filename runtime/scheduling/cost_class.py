"""The waiting jobs of one cost, in the order in which they are served."""

from __future__ import annotations

from collections import OrderedDict
from enum import IntEnum
from typing import Generic, Protocol, TypeVar


class Priority(IntEnum):
    """What is served first where both wait."""

    QUERY = 0
    """Somebody waits for the answer to a search."""
    PASSAGE = 1
    """An import."""


class Waiting(Protocol):
    """What a queue knows of a job. None of it may change while the job is in the queue."""

    cost: int
    """How many steps are left, estimated; at least 1."""
    priority: Priority
    since: float
    """When it arrived, in seconds."""
    begun: bool
    """Whether a thread has had it. The queue sets it."""


Item = TypeVar("Item", bound=Waiting)


class CostClass(Generic[Item]):
    """Jobs that were begun come first, then fresh ones as they came, then stale ones, the newest first.

    A job is fresh for ``fresh_seconds``. In an overload, callers give up sooner or later. First come, first served
    would then serve everybody just too late. So those who have waited long make way for those who can still be served
    in time. Every operation takes constant time, also the removal from the middle.
    """

    def __init__(self, fresh_seconds: float) -> None:
        self._fresh_seconds = fresh_seconds
        self._begun: OrderedDict[Item, None] = OrderedDict()
        self._fresh: OrderedDict[Item, None] = OrderedDict()
        self._stale: OrderedDict[Item, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._begun) + len(self._fresh) + len(self._stale)

    def __bool__(self) -> bool:
        return bool(self._begun or self._fresh or self._stale)

    def add(self, item: Item, first: bool = False) -> None:
        """Add the job at the back of its own; ``first``: before all others, if it was begun."""
        if not item.begun:
            self._fresh[item] = None
            return
        self._begun[item] = None
        if first:
            self._begun.move_to_end(item, last=False)

    def discard(self, item: Item) -> bool:
        """Remove the job. Returns whether it was there."""
        for items in (self._begun, self._fresh, self._stale):
            if item in items:
                del items[item]
                return True
        return False

    def is_stale(self, item: Item) -> bool:
        """Whether the job waits behind all fresh ones."""
        return item in self._stale

    def first(self, now: float) -> Item:
        """The job to serve next. There must be one."""
        if self._begun:
            return next(iter(self._begun))
        self._age(now)
        return next(iter(self._fresh)) if self._fresh else next(reversed(self._stale))

    def take(self, now: float) -> Item:
        """Remove and return the job to serve next. There must be one."""
        if self._begun:
            return self._begun.popitem(last=False)[0]
        self._age(now)
        return self._fresh.popitem(last=False)[0] if self._fresh else self._stale.popitem()[0]

    def _age(self, now: float) -> None:
        while self._fresh:
            item = next(iter(self._fresh))
            if now - item.since < self._fresh_seconds:
                return
            del self._fresh[item]
            self._stale[item] = None
