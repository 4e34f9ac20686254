"""The load generator against a real server, in this process and in its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bench.errors import LoadFailed
from bench.server.load_generator import LoadResult, run_load
from bench.server.loads import LOADS, load_named
from bench.server.measured_system import generate_load
from bench.server.process import free_port
from tests.support.paths import ROOT
from tests.support.server.stub_server import load_spec, running


@pytest.mark.parametrize("load", [load.name for load in LOADS])
def test_counts_what_the_server_answered(load: str):
    with running() as (port, seen):
        result = run_load(load_spec(port, load, requests=50))
        assert result.answers == len(seen.bodies) == load_named(load).connections + 50
    assert result.requests == 50
    assert 0 < result.p50_ms <= result.p99_ms <= result.max_ms


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
    program = "import bench.server.load_generator, sys; sys.exit(bool({'numpy', 'torch', 'build'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_its_process_passes_on_what_went_wrong():
    with running("status") as (port, _), pytest.raises(LoadFailed, match="status is 500"):
        generate_load(load_spec(port))
