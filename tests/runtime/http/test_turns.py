"""The rule by which workers take connections: the least busy one always may, and nobody who is busier."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from runtime.http.turns import ABSENT, LIMIT, Stage, busyness, whose_turn

STAGES = st.sampled_from(Stage)
COUNTS = st.integers(0, 5) | st.integers(0, 2 * LIMIT)
BUSY = st.just(ABSENT) | st.builds(busyness, STAGES, COUNTS, COUNTS)
ROWS = st.lists(st.tuples(BUSY, st.booleans()), min_size=1, max_size=16)


def turns(rows: list[tuple[int, bool]]) -> list[int]:
    """Whose turn it is in the eyes of each worker."""
    busy, deaf = zip(*rows, strict=True)
    return [whose_turn(own, busy, deaf) for own in range(len(rows))]


@given(ROWS)
def test_one_that_is_there_and_hears_takes_the_connection(rows):
    """However stale the view of any of them, they agree on somebody who agrees, too."""
    seen = turns(rows)
    for own, turn in enumerate(seen):
        assert seen[turn] == turn
        assert turn == own or (rows[turn][0] != ABSENT and not rows[turn][1])


@given(ROWS)
def test_nobody_takes_it_while_another_is_less_busy(rows):
    for own, turn in enumerate(turns(rows)):
        others = [busy for busy, is_deaf in rows if busy != ABSENT and not is_deaf]
        assert (turn == own) == (rows[own][0] <= min(others, default=rows[own][0]))


@given(ROWS)
def test_each_hop_leads_to_one_that_is_less_busy(rows):
    for own, turn in enumerate(turns(rows)):
        assert turn == own or rows[turn][0] < rows[own][0]


@given(STAGES, STAGES, COUNTS, COUNTS, COUNTS, COUNTS)
def test_the_stage_counts_first_then_requests_then_connections(stage, other_stage, requests, others, kept, others_kept):
    def key(*figures: int) -> tuple[int, ...]:
        return tuple(min(figure, LIMIT) for figure in figures)

    ours, theirs = busyness(stage, requests, kept), busyness(other_stage, others, others_kept)
    assert (ours < theirs) == (key(stage, requests, kept) < key(other_stage, others, others_kept))
    assert ours != ABSENT


@given(st.integers(1, 16), st.integers(1, 8), st.randoms(use_true_random=False))
def test_connections_that_come_one_after_another_are_shared_evenly(workers, each, random):
    """Whoever wakes first, and however often a connection is passed on."""
    made: Counter[int] = Counter()
    for _ in range(workers * each):
        busy = [busyness(Stage.READY, made[number], made[number]) for number in range(workers)]
        turn = random.randrange(workers)
        while (following := whose_turn(turn, busy, [False] * workers)) != turn:
            turn = following
        made[turn] += 1
    assert set(made.values()) == {each}


@given(st.lists(st.integers(0, 40), min_size=2, max_size=16), st.integers(0, 200))
def test_a_worker_that_starts_anew_catches_up(requests, arrivals):
    made = [0, *requests]
    for _ in range(arrivals):
        busy = [busyness(Stage.READY, count, count) for count in made]
        turn = whose_turn(0, busy, [False] * len(busy))
        made[turn] += 1
    assert made[0] >= min(min(requests), arrivals)


def test_kept_connections_without_requests_weigh_less_than_one_request():
    busy = [busyness(Stage.READY, 0, 1000), busyness(Stage.READY, 1, 1)]
    assert whose_turn(1, busy, [False, False]) == 0


def test_one_that_starts_or_drains_has_a_turn_only_where_nobody_is_ready():
    idle = {stage: busyness(stage, 0, 0) for stage in Stage}
    full_house = busyness(Stage.READY, 100, 100)
    for stage in set(Stage) - {Stage.READY}:
        assert whose_turn(0, [idle[stage], full_house], [False, False]) == 1
    assert whose_turn(0, [idle[Stage.STARTING], ABSENT], [False, False]) == 0
