"""How much is prepared for a load."""

from __future__ import annotations

from bench.server.loads import Load
from bench.server.texts import LONG


def test_the_number_of_prepared_requests_follows_from_the_time():
    load = Load(LONG, 1)
    assert load.max_requests(0.005) == 10
    assert load.max_requests(1e-6) == 1
