"""What the workers may use: a choice of threads is lowered to the cores, shares add up, and the log says so."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.host.capacity import LEAST_WORKER_BYTES, Capacity, divide, measure_capacity
from runtime.host.cores import available_cores
from runtime.host.memory import available_memory

CORES = available_cores()
MUCH = 1 << 40
GB = 10**9


@pytest.mark.parametrize(
    ("wanted", "cores"), [(None, CORES), (1, 1), (CORES, CORES), (CORES + 1, CORES), (1024, CORES)]
)
def test_threads_are_at_most_the_cores(wanted: int | None, cores: int, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        capacity = measure_capacity(wanted)
    assert (capacity.cores, capacity.memory_bytes) == (cores, available_memory())
    lowered = f"THREADS={wanted} is lowered to {CORES}, the cores that affinity and quota allow"
    assert [record.getMessage() for record in caplog.records] == ([lowered] if (wanted or 0) > CORES else [])


@pytest.mark.parametrize(
    ("cores", "workers"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (8, 4), (16, 8), (17, 8), (64, 32)]
)
def test_by_default_two_cores_have_a_worker(cores: int, workers: int, caplog: pytest.LogCaptureFixture):
    assert divide(Capacity(cores, MUCH), None, 0).workers == workers
    assert caplog.records == []


@pytest.mark.parametrize(("wanted", "workers"), [(1, 1), (2, 2), (4, 4)])
def test_the_number_of_workers_can_be_chosen(wanted: int, workers: int, caplog: pytest.LogCaptureFixture):
    assert divide(Capacity(4, MUCH), wanted, 0).workers == workers
    assert caplog.records == []


def test_more_workers_than_threads_are_lowered_with_a_warning(caplog: pytest.LogCaptureFixture):
    assert divide(Capacity(2, MUCH), 16, 0).workers == 2
    assert caplog.messages == ["WORKERS=16 is lowered to 2, the number of inference threads"]


@pytest.mark.parametrize(("wanted", "by_cores"), [(None, 8), (16, 16)])
def test_workers_whose_share_of_memory_is_too_small_for_the_model_are_not_started(
    wanted: int | None, by_cores: int, caplog: pytest.LogCaptureFixture
):
    assert divide(Capacity(16, 4 * GB), wanted, GB).workers == 4
    assert caplog.messages == [
        f"there are 4 worker(s), not {by_cores}: each needs 1000 MB, and the memory is 4000 MB",
    ]


def test_one_worker_is_started_however_little_memory_there_is(caplog: pytest.LogCaptureFixture):
    assert divide(Capacity(1, 1), None, GB).workers == 1
    assert caplog.messages == []


def test_a_worker_has_a_least_share_whatever_the_model_needs():
    assert divide(Capacity(16, 3 * LEAST_WORKER_BYTES), None, 0).workers == 3
    assert divide(Capacity(16, 3 * LEAST_WORKER_BYTES - 1), None, 0).workers == 2


@given(st.integers(1, 300), st.none() | st.integers(1, 256), st.integers(0, MUCH), st.integers(0, 1 << 34))
def test_shares_are_even_and_add_up(cores, wanted, memory_bytes, needed_bytes):
    capacity = divide(Capacity(cores, memory_bytes), wanted, needed_bytes)
    assert 1 <= capacity.workers <= min(cores, wanted or cores)
    assert len(capacity.worker_cores) == capacity.workers
    assert sum(capacity.worker_cores) == cores
    assert 1 <= min(capacity.worker_cores) <= max(capacity.worker_cores) <= min(capacity.worker_cores) + 1
    assert memory_bytes - capacity.workers < capacity.worker_bytes * capacity.workers <= memory_bytes
    assert capacity.workers == 1 or capacity.worker_bytes >= max(needed_bytes, LEAST_WORKER_BYTES)
