"""The registry of connections looks at deadlines without holding up anybody."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import uvloop

from runtime.http.registry import CHECKED_TOGETHER, Connections


class Expiring:
    """A connection whose deadline is over at every look. Connections that are closed leave the registry."""

    accepted_at = 0.0
    has_sent_request = True

    def __init__(self, connections: Connections, looks: list[float]) -> None:
        self._connections, self._looks = connections, looks

    def check(self, now: float) -> None:
        self._looks.append(now)
        self._connections.remove(self)

    def postpone(self, seconds: float) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def test_others_get_turns_while_many_deadlines_are_over_at_once():
    looks: list[float] = []

    async def main() -> list[int]:
        connections = Connections(asyncio.get_running_loop())
        for _ in range(10 * CHECKED_TOGETHER + 1):
            connections.add(Expiring(connections, looks))
        checking = asyncio.create_task(connections.check())
        seen = [0]
        while not checking.done():
            await asyncio.sleep(0)
            seen.append(len(looks))
        assert len(connections) == 0
        return seen

    seen = uvloop.run(main())
    assert len(looks) == 10 * CHECKED_TOGETHER + 1
    assert max(later - earlier for earlier, later in pairwise(seen)) <= CHECKED_TOGETHER
    assert len(set(looks)) == 1, "all are judged by one time"
