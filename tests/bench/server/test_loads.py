"""How much is prepared for a load."""

from __future__ import annotations

from bench.__main__ import FULL
from bench.server.loads import Group, Load, loads_in
from bench.server.texts import EIGHT_KB, LONG, SHORT
from bench.server.wire import ANSWER_SECONDS


def test_the_number_of_prepared_requests_follows_from_the_time():
    load = Load(LONG, 1)
    assert load.max_requests(0.005) == 10
    assert load.max_requests(1e-6) == 1


def test_losses_do_not_use_up_the_requests_at_the_start():
    assert Load(LONG, 640, Group.WEAVIATE).max_requests(0.005) == 640 + 10


def test_overload_lasts_longer_than_callers_wait():
    full = FULL.seconds
    assert all(load.times * full > ANSWER_SECONDS for load in loads_in({Group.OVERLOAD}))


def test_weaviates_numbers_in_flight_are_there_with_short_texts_and_with_8_kb():
    loads = loads_in({Group.WEAVIATE, Group.OVERLOAD})
    for length in (SHORT, EIGHT_KB):
        assert [load.in_flight for load in loads if load.length == length] == [1, 8, 32, 160, 640, 3200]
