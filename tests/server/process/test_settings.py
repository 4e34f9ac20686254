"""Settings that change how the server runs: threads, tokens, logs; and what it leaves on the disk."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.host.priority import LOWEST, NICER
from tests.support.server.process_usage import nice_values
from tests.support.server.server_process import Server, ready, wait_until


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(default_bundle, tmp_path_factory.mktemp("server") / "log", []) as server:
        yield server


def test_settings_of_other_containers_get_one_log_line(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log", ENABLE_CUDA="0", CUDA_CORE="1") as server:
        assert server.output().count("accepted without effect: CUDA_CORE") == 1


def test_logs_can_be_json(default_bundle: Path, tmp_path: Path):
    """All of them: with a worker that dies, and what gunicorn reports of its steps."""
    with ready(default_bundle, tmp_path / "log", LOG_FORMAT="json", LOG_LEVEL="debug") as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.output().count("ready after") == 2, "no other worker was started", server.output)
        assert server.terminate() == 0
    events = [json.loads(line) for line in server.output().splitlines()]
    assert all({"time", "level", "message"} <= set(event) for event in events)
    assert any(event["message"].startswith("Handling signal: term") for event in events)
    (end,) = (event for event in events if "was ended by SIGKILL (signal 9)" in event["message"])
    assert end["level"] == "error"


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores to take one away")
def test_threads_follow_the_affinity_and_the_setting(default_bundle: Path, tmp_path: Path):
    core = str(min(os.sched_getaffinity(0)))
    with ready(default_bundle, tmp_path / "log", ["taskset", "-c", core]) as server:
        assert "1 core(s)" in server.output()
    with ready(default_bundle, tmp_path / "log", THREADS="1") as server:
        assert "1 core(s)" in server.output()


def test_threads_above_the_cores_are_lowered_with_a_warning(default_bundle: Path, tmp_path: Path):
    core = str(min(os.sched_getaffinity(0)))
    with ready(default_bundle, tmp_path / "log", ["taskset", "-c", core], THREADS="64") as server:
        assert "WARNING THREADS=64 is lowered to 1, the cores that affinity and quota allow" in server.output()
        assert "1 core(s)" in server.output()


def test_all_threads_that_compute_give_way_to_the_one_that_answers(server: Server):
    server.embed("a text")
    (worker,) = server.workers()
    computing = nice_values(worker)
    answering = computing.pop(worker)
    assert computing
    assert set(computing.values()) == {min(LOWEST, answering + NICER)}


def test_tokens_guard_vectors_and_meta_and_not_the_probes(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log", AUTHENTICATION_ALLOWED_TOKENS="one,two") as server:
        with server.connect() as connection:
            refused = connection.request("GET", "/meta")
        assert (refused.status, refused.json) == (401, {"error": "Unauthorized"})
        with server.connect() as connection:
            body = b'{"text": "hi"}'
            assert connection.request("POST", "/vectors", body, {"Authorization": "Bearer two"}).status == 200
            assert connection.request("GET", "/.well-known/live").status == 204
        assert "two" not in server.output()
        assert server.output().count("requests need a bearer token: 2 allowed") == 1


def test_tokens_may_be_of_any_script(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log", AUTHENTICATION_ALLOWED_TOKENS="schlüssel,鍵") as server:
        for token, status in {"schlüssel": 200, "鍵": 200, "schlussel": 401}.items():
            with server.connect() as connection:
                connection.send(f"GET /meta HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
                assert connection.answer().status == status


def test_a_server_without_tokens_says_so(server: Server):
    assert server.output().count("requests need no token") == 1


def test_nothing_is_written_to_disk(default_bundle: Path, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_RUNTIME_DIR": str(home), "TMPDIR": str(home)}
    with ready(default_bundle, tmp_path / "log", [], **places) as server:
        for n in range(50):
            assert server.embed(f"text {n}").status == 200
        assert server.terminate() == 0
    assert list(home.rglob("*")) == []
