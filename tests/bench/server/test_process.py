"""One server process: ready, measured, asked for vectors, stopped."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bench import process_tree
from bench.errors import LoadFailed, ServerFailed
from bench.server.fidelity import OriginalVectors, served_vectors
from bench.server.measured_system import generate_load
from manifest import CosineFigures, Fidelity
from tests.support.server.stub_server import DIM, MODEL, load_spec, running, stub_system, stub_vector


class TestFidelity:
    def test_a_server_that_is_the_original_is_at_one(self):
        texts = ["", "one", 'with "quotes", \\ and\nlines', "日本語"]
        original = OriginalVectors(texts, np.asarray([stub_vector(text) for text in texts], np.float32))
        with running() as (port, _):
            assert np.array_equal(served_vectors(port, texts), original.vectors)
            assert original.compare(port) == Fidelity(CosineFigures(count=4, mean=1, p1=1, minimum=1))

    def test_another_size_is_refused(self):
        original = OriginalVectors(["one", "two"], np.ones((2, DIM + 1), np.float32))
        with running() as (port, _), pytest.raises(LoadFailed, match="the vectors must have 9 components, not 8"):
            original.compare(port)


class TestServer:
    def test_a_process_that_ends_is_reported_with_its_last_line(self):
        system = stub_system("broken", [sys.executable, "-c", "raise SystemExit('no such model')"])
        with pytest.raises(ServerFailed, match="no such model"):
            system.start(MODEL)

    def test_a_program_that_is_missing_is_reported(self):
        with pytest.raises(ServerFailed, match="cannot be started.*make setup"):
            stub_system("absent", ["/nowhere/python"]).start(MODEL)

    def test_is_measured_while_it_runs_and_gone_afterwards(self):
        server = stub_system("stub").start(MODEL)
        try:
            assert server.start_seconds > 0
            assert server.memory().rss_mb >= server.memory().pss_mb > 1
            before = server.cpu_seconds()
            generate_load(load_spec(server.port, requests=1000))  # far more CPU time than the clock's tick of 10 ms
            assert server.cpu_seconds() > before
            server.check_alive()
        finally:
            server.stop()
        with pytest.raises(LoadFailed, match="refused"):
            generate_load(load_spec(server.port))

    def test_descendants_are_counted(self):
        # NOTE: a process that starts another one, or is started, has more descriptors for a moment.
        child = "print(1, flush=True); input()"
        script = (
            "import subprocess, sys\n"
            f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
            "print(1, flush=True)\n"
            "child.wait()"
        )
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert [process.stdout.readline() for _ in range(2)] == [b"1\n"] * 2
            pids = process_tree.tree(process.pid)
            descriptors = process_tree.descriptors(pids)
            process.communicate(b"\n")
        assert len(pids) == 2
        assert pids[0] == process.pid
        assert descriptors == 3 + 3
        assert process_tree.descriptors(pids) == 0  # all have ended

    def test_a_restart_keeps_the_port_and_counts_what_both_have_used(self):
        server = stub_system("stub").start(MODEL)
        try:
            generate_load(load_spec(server.port, requests=1000))
            used = server.cpu_seconds()
            server.restart()
            assert server.cpu_seconds() > used
            assert 0 < server.reaped_cpu_seconds < server.cpu_seconds()
            assert generate_load(load_spec(server.port)).answers == 108
        finally:
            server.stop()
