"""The master as a process, with workers that follow a script: what it does when they end, and when it is asked to."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from build.fidelity.runtime_process import free_port
from tests.support.server.server_process import Server, running, wait_until

SERVES = "ready wait exit 0"
CUTS_REQUESTS = "ready wait exit 3"
STAYS = "ready wait hang"
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


@contextmanager
def started(log: Path, *scripts: str, command: list[str] | None = None, **plan: object) -> Iterator[Server]:
    """A scripted server as a process, killed at the end if it still runs."""
    port = plan.setdefault("port", free_port())
    words = ["-m", "tests.support.server.scripted_server", json.dumps({"scripts": scripts, **plan})]
    with running(words, {"PATH": os.defpath}, log, command) as process:
        server = Server(process, port, log)
        try:
            yield server
        finally:
            workers = server.workers() if process.poll() is None else []
            process.kill()
            process.wait()
            for worker in workers:
                wait_until(lambda worker=worker: not is_running(worker), "a worker outlives its master")


def is_running(pid: int) -> bool:
    """Whether there is such a process, other than one that has ended and that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def says(server: Server, text: str, times: int = 1) -> None:
    """Wait until the log has it so many times."""
    wait_until(lambda: server.output().count(text) >= times, f"the log does not say {text!r}", server.output)


def messages(server: Server) -> list[str]:
    """The log's lines, without their time and process ids."""
    return [re.sub(r"process \d+", "process N", line.split(" ", 1)[1]) for line in server.output().splitlines()]


class TestWorkersThatEnd:
    @pytest.mark.parametrize(
        ("script", "how"),
        [
            ("ready signal 11", "was ended by SIGSEGV (signal 11)"),
            ("ready signal 64", "was ended by SIGRTMAX (signal 64)"),
            ("ready signal 40", "was ended by a signal (signal 40)"),
            ("ready exit 1", "ended with status 1"),
            ("ready exit 0", "ended with status 0"),
            ("ready exit 3", "ended with status 3"),
            ("exit 4", "ended with status 4"),
        ],
    )
    def test_an_end_that_nobody_asked_for_is_logged_and_another_worker_starts(
        self, tmp_path: Path, script: str, how: str
    ):
        with started(tmp_path / "log", script, SERVES) as server:
            says(server, "worker 2 runs")
            assert server.terminate() == 0
        end = messages(server)[1 + script.count("ready") :]
        assert end[:3] == [
            f"ERROR the worker (process N) {how}",
            "INFO starting another worker",
            "INFO worker 2 runs",
        ]

    def test_a_killed_worker_points_at_the_memory(self, tmp_path: Path):
        with started(tmp_path / "log", "ready signal 9", SERVES) as server:
            says(server, "worker 2 runs")
        assert re.search(
            r"was ended by SIGKILL \(signal 9\), perhaps because the memory of [\d,]+ MB did not suffice",
            server.output(),
        )

    def test_the_successor_does_not_wait_for_a_tick(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, ticks=False) as server:
            says(server, "worker 1 runs")
            os.kill(*server.workers(), signal.SIGKILL)
            says(server, "worker 2 runs")

    def test_the_second_end_in_a_row_costs_a_pause_and_then_the_next_worker_starts(self, tmp_path: Path):
        with started(tmp_path / "log", "ready exit 1", "ready exit 1", SERVES, ticks=False) as server:
            says(server, "worker 3 runs")
            assert server.terminate() == 0
        assert "INFO starting another worker in 0.5 s" in messages(server)

    def test_the_listening_socket_outlives_workers(self, tmp_path: Path):
        """Those who connect meanwhile wait for the successor."""
        with started(tmp_path / "log", "signal 9", SERVES) as server:
            says(server, "worker 2 runs")
            socket.create_connection(("127.0.0.1", server.port)).close()
            socket.create_connection(("::1", server.port)).close()

    def test_five_before_any_was_ready_end_the_server(self, tmp_path: Path):
        with started(tmp_path / "log", "signal 9", delays=False) as server:
            assert server.exit_status() == 3
        assert server.output().count("was ended by SIGKILL") == 5
        assert messages(server)[-1] == "ERROR not serving: 5 workers ended before any was ready"

    def test_ten_shortly_after_each_other_end_the_server(self, tmp_path: Path):
        with started(tmp_path / "log", "ready exit 1", "exit 1", delays=False) as server:
            assert server.exit_status() == 3
        assert server.output().count("ended with status 1") == 10
        assert messages(server)[-1] == "ERROR not serving: 10 workers ended shortly after each other"

    def test_one_that_cannot_serve_ends_the_server_and_has_the_last_word(self, tmp_path: Path):
        with started(tmp_path / "log", "exit 3") as server:
            assert server.exit_status() == 3
        assert messages(server) == ["INFO worker 1 runs"]

    def test_an_error_while_loading_is_one_line_with_its_type(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, loading="raise") as server:
            assert server.exit_status() == 3
        assert messages(server) == ["ERROR not serving: ValueError: as planned"]

    def test_an_error_while_loading_has_its_stack_trace_at_debug(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, loading="raise", log_level="debug") as server:
            assert server.exit_status() == 3
        assert server.output().count("Traceback") == 1

    @pytest.mark.parametrize("log_format", ["text", "json"])
    def test_an_error_that_nobody_catches_is_logged_in_the_format(self, tmp_path: Path, log_format: str):
        with started(tmp_path / "log", "ready raise", SERVES, log_format=log_format) as server:
            says(server, "worker 2 runs")
            assert server.terminate() == 0
        assert server.output().count("ValueError: as planned") == 1
        if log_format == "json":
            events = [json.loads(line) for line in server.output().splitlines()]
            assert {event["level"] for event in events} == {"info", "error"}
            assert all({"time", "level", "message"} <= set(event) for event in events)


class TestSeveralWorkers:
    def test_all_of_them_run_and_drain(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, workers=3) as server:
            says(server, "is ready", 3)
            assert len(server.workers()) == 3
            assert server.terminate() == 0
        assert server.output().count("was asked to end") == 3

    def test_one_that_ends_is_replaced_and_the_others_stay(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, workers=3, ticks=False) as server:
            says(server, "is ready", 3)
            _, killed, _ = before = server.workers()
            os.kill(killed, signal.SIGKILL)
            says(server, "is ready", 4)
            assert len(set(server.workers()) & set(before)) == 2
            assert len(server.workers()) == 3
            assert server.terminate() == 0

    def test_their_ends_are_counted_together(self, tmp_path: Path):
        with started(tmp_path / "log", "signal 9", delays=False, workers=2) as server:
            assert server.exit_status() == 3
        assert server.output().count("ERROR not serving: 5 workers ended before any was ready") == 1

    def test_one_that_cannot_serve_ends_all(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, "exit 3", workers=2) as server:
            assert server.exit_status() == 3
        assert "ERROR" not in server.output(), "the worker says why, and the other one is only asked to end"

    def test_why_they_cannot_serve_is_one_line(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, loading="raise", workers=4) as server:
            assert server.exit_status() == 3
        assert messages(server) == ["ERROR not serving: ValueError: as planned"]

    def test_requests_that_one_of_them_cut_show_in_the_status(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, CUTS_REQUESTS, workers=2) as server:
            says(server, "is ready", 2)
            assert server.terminate() == 3

    def test_those_that_do_not_end_are_killed(self, tmp_path: Path):
        with started(tmp_path / "log", STAYS, STAYS, SERVES, drain_seconds=0, workers=3) as server:
            says(server, "is ready", 3)
            assert server.terminate() == 3
        assert "ERROR killing 2 workers, which have not finished their requests" in messages(server)

    def test_all_drain_and_end_with_a_master_that_is_killed(self, tmp_path: Path):
        with started(tmp_path / "log", "ready wait", workers=2) as server:
            says(server, "is ready", 2)
            workers = server.workers()
            server.process.kill()
            says(server, "has finished", 2)
            wait_until(lambda: not any(map(is_running, workers)), "workers outlive their master", server.output)


class TestStop:
    @pytest.mark.parametrize("number", ENDING)
    def test_a_signal_to_the_master_alone_lets_the_worker_drain(self, tmp_path: Path, number: signal.Signals):
        with started(tmp_path / "log", SERVES) as server:
            says(server, "is ready")
            server.process.send_signal(number)
            assert server.exit_status() == 0
        assert [line for line in messages(server) if "stop" in line] == [
            f"INFO stopping on {number.name}",
            "INFO stopped with exit status 0",
        ]
        assert "INFO was asked to end" in messages(server)

    def test_closing_the_terminal_lets_the_worker_drain(self, tmp_path: Path):
        """It hangs up on all processes."""
        with started(tmp_path / "log", "ready wait", log_level="debug") as server:
            says(server, "is ready")
            os.killpg(server.process.pid, signal.SIGHUP)
            assert server.exit_status() == 0
        assert "worker 1 has finished" in server.output()

    def test_a_server_started_by_nohup_outlives_its_terminal(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, command=["nohup"], log_level="debug") as server:
            says(server, "is ready")
            os.killpg(server.process.pid, signal.SIGHUP)
            for n in (1, 2):
                server.process.send_signal(signal.SIGUSR1)
                says(server, "Handling signal: usr1", n)
            assert server.terminate() == 0
        assert "worker 2" not in server.output()
        assert "stopping on SIGHUP" not in server.output()

    @pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU])
    def test_other_signals_of_gunicorn_change_nothing(self, tmp_path: Path, number: signal.Signals):
        with started(tmp_path / "log", SERVES, log_level="debug") as server:
            says(server, "is ready")
            workers = server.workers()
            server.process.send_signal(number)
            says(server, f"Handling signal: {number.name[3:].lower()}")
            server.process.send_signal(signal.SIGWINCH)
            says(server, "Handling signal: winch")
            assert server.workers() == workers
            assert server.terminate() == 0

    def test_a_worker_that_still_loads_does_not_hold_it_up(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, loading="hang") as server:
            says(server, "hangs")
            assert server.terminate() == 0

    def test_the_keyboard_ends_a_worker_that_still_loads(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, loading="hang") as server:
            says(server, "hangs")
            os.killpg(server.process.pid, signal.SIGINT)
            assert server.exit_status() == 0

    def test_requests_that_were_cut_show_in_the_status(self, tmp_path: Path):
        with started(tmp_path / "log", CUTS_REQUESTS) as server:
            says(server, "is ready")
            assert server.terminate() == 3
        assert messages(server)[-1] == "ERROR stopped with exit status 3"
        assert server.output().count("ERROR") == 1

    def test_a_worker_that_dies_while_draining_shows_in_the_status(self, tmp_path: Path):
        with started(tmp_path / "log", "ready wait signal 11") as server:
            says(server, "is ready")
            assert server.terminate() == 3
        assert "ERROR the worker (process N) was ended by SIGSEGV (signal 11) while draining" in messages(server)

    def test_a_worker_that_does_not_end_is_killed(self, tmp_path: Path):
        with started(tmp_path / "log", STAYS, drain_seconds=0) as server:
            says(server, "is ready")
            assert server.terminate() == 3
        assert "ERROR killing the worker, which has not finished its requests" in messages(server)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
    def test_a_second_signal_from_the_keyboard_does_not_wait(self, tmp_path: Path, number: signal.Signals):
        with started(tmp_path / "log", STAYS) as server:
            says(server, "is ready")
            server.process.send_signal(signal.SIGTERM)
            says(server, "hangs")
            server.process.send_signal(number)
            assert server.exit_status() == 3

    def test_a_second_sigterm_waits_on(self, tmp_path: Path):
        with started(tmp_path / "log", "ready wait wait exit 0") as server:
            says(server, "is ready")
            (worker,) = server.workers()
            server.process.send_signal(signal.SIGTERM)
            says(server, "was asked to end")
            server.process.send_signal(signal.SIGTERM)
            os.kill(worker, signal.SIGTERM)
            assert server.exit_status() == 0


class TestClocks:
    def test_a_wall_clock_that_is_set_does_not_shorten_the_drain(self, tmp_path: Path):
        switch = tmp_path / "leap"
        with started(tmp_path / "log", "ready wait wait exit 0", wall_clock=str(switch)) as server:
            says(server, "is ready")
            (worker,) = server.workers()
            switch.touch()
            server.process.send_signal(signal.SIGTERM)
            says(server, "was asked to end")
            # Any number of looks at the clock later, the worker still drains.
            for _ in range(5):
                server.process.send_signal(signal.SIGUSR1)
            assert is_running(worker)
            os.kill(worker, signal.SIGTERM)
            assert server.exit_status() == 0

    def test_a_pause_of_the_machine_kills_nobody(self, tmp_path: Path):
        switch = tmp_path / "leap"
        with started(tmp_path / "log", SERVES, monotonic_clock=str(switch), log_level="debug") as server:
            says(server, "is ready")
            workers = server.workers()
            switch.touch()
            for n in range(1, 4):
                server.process.send_signal(signal.SIGUSR1)
                says(server, "Handling signal: usr1", n)
            assert server.workers() == workers
            switch.unlink()
            assert server.terminate() == 0


class TestKilledMaster:
    def test_its_worker_drains_and_ends(self, tmp_path: Path):
        with started(tmp_path / "log", "ready wait") as server:
            says(server, "is ready")
            (worker,) = server.workers()
            server.process.kill()
            says(server, "worker 1 has finished")
            wait_until(lambda: not is_running(worker), "the worker outlives its master", server.output)

    def test_a_worker_that_still_loads_ends(self, tmp_path: Path):
        with started(tmp_path / "log", SERVES, loading="hang") as server:
            says(server, "hangs")
            (worker,) = server.workers()
            server.process.kill()
            wait_until(lambda: not is_running(worker), "the worker outlives its master", server.output)
