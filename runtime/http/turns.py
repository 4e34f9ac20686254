"""The rule by which workers take connections from one queue: the least busy one takes the next."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

ABSENT = 0
"""The busyness of a worker that is not there. It never counts."""

LIMIT = (1 << 24) - 1


class Stage(IntEnum):
    """What comes first in the comparison. A worker of a later stage has no turn while there is one of an earlier."""

    READY = 1
    FULL = 2
    """There is no room for more connections."""
    DRAINING = 3
    STARTING = 4
    """Requests on its connections wait."""
    PAUSED = 5
    """It has run out of file descriptors, and tries again in a moment."""


def busyness(stage: Stage, requests: int, connections: int) -> int:
    """One number to compare workers by: the stage first, then the requests, then the connections.

    ``requests``: in progress, and expected on connections that are new.
    """
    # PERF: without calls, because it is computed with each request.
    requests = requests if requests < LIMIT else LIMIT
    return stage << 48 | requests << 24 | (connections if connections < LIMIT else LIMIT)


def stage_of(busy: int) -> int:
    """The stage of a worker that is so busy."""
    return busy >> 48


def requests_of(busy: int) -> int:
    """How many requests a worker has that is so busy."""
    return busy >> 24 & LIMIT


def whose_turn(own: int, busy: Sequence[int], deaf: Sequence[bool]) -> int:
    """Return the number of the worker that a waiting connection is for; ``own`` where no other is less busy.

    ``busy``: the busyness of each worker, by its number. ``deaf``: those that were called long ago and do not come;
    they are passed over.
    """
    turn, least = own, busy[own]
    if len(busy) == 1:
        return own
    for number, other in enumerate(busy):
        if other != ABSENT and other < least and not deaf[number]:
            turn, least = number, other
    return turn
