"""The load generator against a real server, in this process and in its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.errors import LoadFailed
from bench.load.exchange import Loss
from bench.load.generator import run_load
from bench.load.loads import SLOW_CLIENTS, Group, LoadResult, loads_in
from bench.server.measured_system import generate_load
from bench.server.process import free_port
from bench.text.loads import TEXT_LOADS
from tests.support.paths import ROOT
from tests.support.server.stub_server import SOUND_ANSWERS, load_named, load_spec, running


@pytest.mark.parametrize("load", [load.name for load in loads_in(TEXT_LOADS, {Group.KEPT, Group.BATCHES})])
def test_counts_what_the_server_answered(load: str):
    with running() as (port, seen):
        result = run_load(load_spec(port, load, requests=50))
        assert result.answers == len(seen.bodies) == load_named(load).in_flight + 50
    assert result.requests == 50
    assert 0 < result.p50_ms <= result.p99_ms <= result.max_ms


def test_slow_clients_are_there_beside_the_load_alone():
    with running() as (port, seen):
        result = run_load(load_spec(port, "slow-short-32", requests=50))
        assert result.answers == len(seen.bodies) == 32 + 50
        assert seen.connections >= 32 + SLOW_CLIENTS
    assert result.dials == 32


@pytest.mark.parametrize("load", ["weaviate-short-1", "weaviate-8kb-32", "overload-8kb-640", "restart-short-160"])
def test_counts_what_the_server_answered_over_connections_that_are_dialed_anew(load: str):
    with running() as (port, seen):
        result = run_load(load_spec(port, load, requests=700))
    assert result.requests == result.answers == len(seen.bodies) == 700
    assert len(set(seen.bodies)) == 700, "no text is sent twice"
    assert result.dials == seen.connections
    assert (result.lost, result.resends) == ({}, 0)
    assert 0 < result.p50_ms <= result.p99_ms <= result.max_ms
    assert 0 < result.silence_seconds <= result.seconds
    assert result.cpu_seconds > 0


def test_losses_are_counted_and_do_not_end_the_load():
    with running("status") as (port, seen):
        result = run_load(load_spec(port, "weaviate-short-8", requests=60))
    assert result.answers == SOUND_ANSWERS
    assert result.lost == {"status 500": 60 - SOUND_ANSWERS}
    assert len(seen.bodies) == 60, "none is repeated"


def test_without_an_answer_there_are_no_latencies():
    result = run_load(load_spec(free_port(), "weaviate-short-8", requests=30, seconds=5))
    assert result.lost == {Loss.REFUSED: 30}
    assert (result.answers, result.requests, result.p50_ms, result.p99_ms, result.max_ms) == (0, 0, 0, 0, 0)
    assert result.silence_seconds == result.seconds


@pytest.mark.parametrize(("fault", "message"), [("size", "no vector of 8"), ("text", "echo")])
def test_wrong_content_fails_where_losses_are_counted_too(fault: str, message: str):
    with running(fault) as (port, _), pytest.raises(LoadFailed, match=message):
        run_load(load_spec(port, "weaviate-short-8"))


def test_says_once_when_half_of_the_requests_are_sent():
    sent: list[int] = []
    with running() as (port, seen):
        run_load(load_spec(port, "weaviate-short-8"), lambda: sent.append(len(seen.bodies)))
    assert len(sent) == 1
    assert 50 - 2 * 8 <= sent[0] <= 50 + 2 * 8


def test_says_when_half_of_the_time_is_over():
    calls: list[None] = []
    with running() as (port, _):
        result = run_load(load_spec(port, "weaviate-short-1", seconds=1e-9), lambda: calls.append(None))
    assert len(calls) == 1
    assert (result.requests, result.answers) == (0, 0), "the time was over before the first was sent"


def test_its_process_calls_in_the_middle():
    calls: list[int] = []
    with running() as (port, seen):
        result = generate_load(load_spec(port, "restart-short-160", requests=1000), lambda: calls.append(1))
        assert result.answers == len(seen.bodies)
    assert calls == [1]


def test_its_process_is_ended_where_the_middle_fails():
    def fail() -> None:
        raise LoadFailed("no restart")

    with running() as (port, _), pytest.raises(LoadFailed, match="no restart"):
        generate_load(load_spec(port, "restart-short-160", requests=4000), fail)


def test_ends_when_the_time_is_over():
    with running() as (port, seen):
        result = run_load(load_spec(port, "short-8", requests=5000, seconds=1e-9))
    assert result.requests == 0
    assert result.answers == len(seen.bodies) == 16, "one on each connection before and one after the start"


def test_sends_no_text_twice():
    with running() as (port, seen):
        run_load(load_spec(port))
        assert len(set(seen.bodies)) == len(seen.bodies) > 8


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("status", "status is 500"),
        ("size", "no vector of 8"),
        ("text", "echo"),
        ("close", "closed a connection|connection failed"),
    ],
)
@pytest.mark.parametrize("load", ["short-1", "short-32"])
def test_a_wrong_answer_fails(fault: str, message: str, load: str):
    with running(fault) as (port, _), pytest.raises(LoadFailed, match=message):
        run_load(load_spec(port, load))


def test_a_closed_port_fails():
    with pytest.raises(LoadFailed, match="connection failed"):
        run_load(load_spec(free_port()))


def test_is_a_process_of_its_own():
    with running() as (port, seen):
        result = generate_load(load_spec(port))
        assert isinstance(result, LoadResult)
        assert result.answers == len(seen.bodies)
        assert result.requests_per_second == result.requests / result.seconds


def test_stays_small():
    program = "import bench.load.generator, sys; sys.exit(bool({'numpy', 'torch', 'build'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_its_process_passes_on_what_went_wrong():
    with running("status") as (port, _), pytest.raises(LoadFailed, match="status is 500"):
        generate_load(load_spec(port))
