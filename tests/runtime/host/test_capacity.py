"""What this process may use: a choice of threads is lowered to the cores, and the log says so."""

from __future__ import annotations

import logging

import pytest

from runtime.host.capacity import measure_capacity
from runtime.host.cores import available_cores
from runtime.host.memory import available_memory

CORES = available_cores()


@pytest.mark.parametrize(
    ("wanted", "cores"), [(None, CORES), (1, 1), (CORES, CORES), (CORES + 1, CORES), (1024, CORES)]
)
def test_threads_are_at_most_the_cores(wanted: int | None, cores: int, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        capacity = measure_capacity(wanted)
    assert (capacity.cores, capacity.memory_bytes) == (cores, available_memory())
    lowered = f"THREADS={wanted} is lowered to {CORES}, the cores that affinity and quota allow"
    assert [record.getMessage() for record in caplog.records] == ([lowered] if (wanted or 0) > CORES else [])
