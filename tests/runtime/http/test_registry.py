"""The registry of connections looks at deadlines without holding up anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import pytest
import uvloop

from runtime.http.registry import CHECKED_TOGETHER, Connections
from runtime.http.scoreboard import Scoreboard, Seat
from runtime.http.turns import Stage

LIMIT = 4


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


class TestWhatOtherWorkersSee:
    """One connection after another changes how busy this worker is, in comparison with one of known busyness."""

    @pytest.fixture
    def seats(self) -> tuple[Seat, Seat]:
        board = Scoreboard(2)
        own, other = board.seat(0), board.seat(1)
        for seat in (own, other):
            seat.enter(Stage.READY)
        return own, other

    @pytest.fixture
    def connections(self, seats: tuple[Seat, Seat]) -> Iterator[Connections]:
        with closing(asyncio.new_event_loop()) as loop:
            connections = Connections(loop, seats[0], LIMIT)
            connections.publish()
            yield connections

    def test_a_connection_counts_as_its_first_request_from_being_accepted_until_that_has_come(self, seats, connections):
        own, other = seats
        kept, new = Expiring(connections, []), Expiring(connections, [])
        connections.add(kept)
        connections.idle(kept)
        connections.busy(kept)
        assert as_busy_as(own, other, requests=0, connections=1)
        connections.expect(new)
        assert as_busy_as(own, other, requests=1, connections=2)
        connections.add(new)
        assert as_busy_as(own, other, requests=1, connections=2), "it is not counted twice"
        connections.forget(new)
        assert as_busy_as(own, other, requests=1, connections=2)
        connections.busy(new)
        connections.began(REQUEST)
        assert as_busy_as(own, other, requests=1, connections=2)
        connections.ended(REQUEST)
        assert as_busy_as(own, other, requests=0, connections=2)
        connections.remove(new)
        assert as_busy_as(own, other, requests=0, connections=1)

    def test_one_that_ends_before_it_began_is_forgotten(self, seats, connections):
        own, other = seats
        failed = object()
        connections.expect(failed)
        assert len(connections) == 1
        connections.forget(failed)
        assert len(connections) == 0
        assert as_busy_as(own, other, requests=0, connections=0)

    def test_probes_do_not_count(self, seats, connections):
        own, other = seats
        connections.began(PROBE)
        assert as_busy_as(own, other, requests=0, connections=0)
        connections.ended(PROBE)
        assert as_busy_as(own, other, requests=0, connections=0)

    def test_at_its_limit_it_steps_behind_others(self, seats, connections):
        own, other = seats
        other.publish(50, 50)
        for _ in range(LIMIT):
            assert own.whose_turn() == 0
            connections.add(Expiring(connections, []))
        assert own.whose_turn() == 1

    @pytest.mark.parametrize("step_back", [lambda connections: connections.pause(True), Connections.drain])
    def test_so_it_does_while_it_has_no_room_or_drains(self, seats, connections, step_back):
        own, other = seats
        other.publish(50, 50)
        assert own.whose_turn() == 0
        step_back(connections)
        assert own.whose_turn() == 1
        connections.pause(False)
        assert own.whose_turn() == (1 if connections.is_draining else 0)


class Exchange:
    def __init__(self, path: str) -> None:
        self.path, self.status, self.began_at = path, 200, 0.0


REQUEST, PROBE = Exchange("/vectors"), Exchange("/.well-known/ready")


def as_busy_as(own: Seat, other: Seat, requests: int, connections: int) -> bool:
    """Whether neither is less busy than the other, if that has so many requests and connections."""
    other.publish(requests, connections)
    return (own.whose_turn(), other.whose_turn()) == (0, 1)
