"""The server as a process: what stops its start, how it ends, and what hostile or odd clients get."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manifest import Target, describe_files, read_manifest, write_manifest
from tests.support.server.server_process import Server, ready, started, wait_until

LONG = "the quick brown fox jumps over the lazy dog " * 60
HOUR = 3600


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(default_bundle, tmp_path_factory.mktemp("server") / "log", MAX_BODY_BYTES="5000") as server:
        yield server


@pytest.fixture
def broken(default_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle to damage."""
    return Path(shutil.copytree(default_bundle, tmp_path / "broken"))


def reseal(bundle: Path) -> None:
    """Make the manifest agree with damaged files, so that the damage is found later than by its hash."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    for name, entry in describe_files(bundle, read_manifest(bundle).section).items():
        manifest["files"][name] = {"size": entry.size, "sha256": entry.sha256}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def fails_to_start(bundle: Path, log: Path, **settings: str) -> tuple[int, str]:
    with started(bundle, log, **settings) as server:
        return server.exit_status(), server.output()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "http", "PORT must be a whole number from 1 to 65535, not 'http'"),
        ("THREADS", "0", "THREADS must be"),
        ("ENABLE_CUDA", "1", "ENABLE_CUDA is on, but this server is CPU-only"),
        ("BUNDLE_DIR", "/does/not/exist", "/does/not/exist is not a directory"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line(
    default_bundle: Path, tmp_path: Path, name: str, value: str, message: str
):
    with started(default_bundle, tmp_path / "log", **{name: value}) as server:
        status = server.exit_status()
    assert status == 2
    assert server.output().startswith(f"cpu2vec: {message}")
    assert len(server.output().splitlines()) == 1


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json", "golden.json"])
def test_a_damaged_file_stops_the_start_by_name(broken: Path, tmp_path: Path, name: str):
    content = bytearray((broken / name).read_bytes())
    content[len(content) // 2] ^= 1
    (broken / name).write_bytes(content)
    status, output = fails_to_start(broken, tmp_path / "log")
    assert (status, output.splitlines()) == (
        2,
        [f"cpu2vec: {name} does not have the manifest's sha256: the bundle is damaged"],
    )


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_that_cannot_be_loaded_stops_the_server_for_good(broken: Path, tmp_path: Path, name: str):
    (broken / name).write_bytes(b"nonsense")
    reseal(broken)
    status, output = fails_to_start(broken, tmp_path / "log")
    assert status != 0
    assert f"not serving: {name}" in output
    assert "Traceback" not in output


def test_a_golden_request_that_comes_out_wrong_stops_the_server_for_good(broken: Path, tmp_path: Path):
    golden = json.loads((broken / "golden.json").read_text())
    golden["requests"][1]["answer"]["vector"].reverse()
    (broken / "golden.json").write_text(json.dumps(golden))
    reseal(broken)
    status, output = fails_to_start(broken, tmp_path / "log")
    assert status != 0
    assert 'not serving: the golden request /vectors {"text":"The ferry to the island' in output
    assert output.count("not serving") == 1


def test_a_golden_request_catches_another_pooling(broken: Path, tmp_path: Path):
    manifest = json.loads((broken / "manifest.json").read_text())
    manifest["text"]["encoders"]["text"]["pooling"]["modes"] = ["cls"]
    (broken / "manifest.json").write_text(json.dumps(manifest))
    status, output = fails_to_start(broken, tmp_path / "log")
    assert status != 0
    assert "not serving: the golden request" in output


def test_a_port_in_use_ends_the_server(default_bundle: Path, tmp_path: Path):
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as taken:
        status, output = fails_to_start(default_bundle, tmp_path / "log", PORT=str(taken.getsockname()[1]))
    assert status != 0
    assert "in use" in output.lower()


def test_a_bundle_for_the_other_architecture_is_served_with_a_warning(broken: Path, tmp_path: Path):
    manifest = read_manifest(broken)
    other = {"amd64": Target.ARM64, "arm64": Target.AMD64}[manifest.target]
    write_manifest(broken, dataclasses.replace(manifest, target=other))
    with ready(broken, tmp_path / "log") as server:
        assert f"the bundle was built for {other}" in server.output()


def test_settings_of_other_containers_get_one_log_line(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log", ENABLE_CUDA="0", CUDA_CORE="1") as server:
        assert server.output().count("accepted without effect: CUDA_CORE") == 1


def test_logs_can_be_json(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log", LOG_FORMAT="json") as server:
        server.terminate()
        events = [json.loads(line) for line in server.output().splitlines()]
    assert {"time", "level", "message"} <= set(events[0])
    assert any(event["message"].startswith("ready after") for event in events)


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


def test_nothing_is_written_to_disk(default_bundle: Path, tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_RUNTIME_DIR": str(home), "TMPDIR": str(home)}
    with ready(default_bundle, tmp_path / "log", **places) as server:
        for n in range(50):
            assert server.embed(f"text {n}").status == 200
        time.sleep(0.5)
        assert list(home.rglob("*")) == []
    assert list(home.rglob("*")) == []


def test_a_killed_worker_is_replaced(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log") as server:
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.workers() not in ([], [worker]), "no other worker was started")
        server.wait_ready()
        assert server.embed("hello").status == 200


class TestStop:
    """SIGTERM, as `docker stop` sends it. What may not hold it up would do so for longer than a test waits."""

    def test_idle_connections_do_not_hold_it_up(self, default_bundle: Path, tmp_path: Path):
        with ready(default_bundle, tmp_path / "log", drain_seconds=HOUR) as server:
            connections = [server.connect() for _ in range(20)]
            for connection in connections[:10]:
                assert connection.embed("hello").status == 200
            connections[10].send(b"POST /vectors HT")
            server.wait_until_read()
            assert server.terminate() == 0
            for connection in connections:
                connection.close()

    def test_a_half_sent_body_does_not_hold_it_up(self, default_bundle: Path, tmp_path: Path):
        """Once the time to drain is over, the body is not waited for until its own time is over, which is longer."""
        with ready(default_bundle, tmp_path / "log", drain_seconds=1) as server, server.connect() as connection:
            connection.send(b'POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"text"')
            server.wait_until_read()
            assert server.terminate() == 0
            with pytest.raises(ConnectionError):
                connection.answer()

    def test_requests_in_flight_are_answered_and_ready_says_no(self, default_bundle: Path, tmp_path: Path):
        body = json.dumps({"text": LONG}).encode()
        head = f"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(ready(default_bundle, tmp_path / "log", drain_seconds=HOUR, THREADS="1"))
            connections = [stack.enter_context(server.connect()) for _ in range(60)]
            for connection in connections:
                connection.send(head + body)
            server.wait_until_read()
            server.process.send_signal(signal.SIGTERM)
            probe = stack.enter_context(server.connect())
            while (refused := probe.request("GET", "/.well-known/ready")).status == 204:
                pass
            late_answer = stack.enter_context(server.connect()).embed("late")
            statuses = [connection.answer().status for connection in connections]
            assert server.exit_status() == 0
        assert statuses == [200] * 60
        assert refused.status == 503
        assert refused.json == {"error": "the server is draining"}
        assert late_answer.status == 503
        assert "retry-after" in late_answer.headers

    def test_interrupting_it_from_the_keyboard_ends_it(self, default_bundle: Path, tmp_path: Path):
        with ready(default_bundle, tmp_path / "log") as server:
            os.killpg(server.process.pid, signal.SIGINT)
            server.exit_status()


class TestHttp:
    """What clients other than Weaviate's may do."""

    def test_chunked_bodies_are_read(self, server: Server):
        with server.connect() as connection:
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in (b'{"te', b'xt": "chun', b'ked"}'):
                connection.send(b"%x\r\n%s\r\n" % (len(part), part))
                time.sleep(0.02)
            connection.send(b"0\r\n\r\n")
            assert connection.answer().json["text"] == "chunked"

    def test_chunked_bodies_have_the_same_limit(self, server: Server):
        with server.connect() as connection:
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.send(b"1000\r\n" + b"a" * 4096 + b"\r\n" + b"1000\r\n" + b"a" * 4096 + b"\r\n")
            assert connection.answer().status == 413

    def test_pipelined_requests_are_answered_in_order(self, server: Server):
        with server.connect() as connection:
            bodies = [json.dumps({"text": f"number {n}"}).encode() for n in range(5)]
            connection.send(
                b"".join(
                    b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(b), b) for b in bodies
                )
            )
            assert [connection.answer().json["text"] for _ in bodies] == [f"number {n}" for n in range(5)]

    def test_http_1_0_is_answered_and_closed(self, server: Server):
        with server.connect() as connection:
            connection.send(b'POST /vectors HTTP/1.0\r\nContent-Length: 14\r\n\r\n{"text": "hi"}')
            assert connection.answer().status == 200
            assert connection.is_closed()

    def test_expect_continue_is_answered_before_the_body(self, server: Server):
        with server.connect() as connection:
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\nExpect: 100-continue\r\n\r\n")
            assert connection.answer().status == 100
            connection.send(b'{"text": "hi"}')
            assert connection.answer().status == 200

    def test_an_announced_body_over_the_limit_is_refused_before_it_is_sent(self, server: Server):
        with server.connect() as connection:
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 5001\r\n\r\n")
            answer = connection.answer()
            assert answer.status == 413
            assert answer.json["error"].startswith("the body is larger than 5000 bytes")
            assert connection.is_closed()

    @pytest.mark.parametrize(
        "head",
        [
            b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n",
            b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"1" * 400 + b"\r\n\r\n",
            b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"NONSENSE\r\n\r\n",
        ],
    )
    def test_malformed_requests_are_a_400_and_closed(self, server: Server, head: bytes):
        with server.connect() as connection:
            connection.send(head)
            assert connection.answer().status == 400
            assert connection.is_closed()

    @pytest.mark.parametrize("line", [b"X-Flood: " + b"a" * 1000 + b"\r\n", b"a: b\r\n"])
    def test_a_flood_of_headers_is_cut_off(self, server: Server, line: bytes):
        with server.connect() as connection:
            connection.send(b"GET /meta HTTP/1.1\r\n")
            answered = cut = False
            try:
                for _ in range(100):
                    connection.send(line * (8000 // len(line)))
                    time.sleep(0.002)
                connection.send(b"\r\n")
                answered = connection.answer().status == 400
            except ConnectionError:
                cut = True
            assert answered or cut

    def test_clients_that_leave_without_reading_harm_nobody(self, server: Server):
        for _ in range(30):
            connection = server.connect()
            body = json.dumps({"text": LONG[:2000]}).encode()
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            connection.close()
        assert server.embed("still there").status == 200
        assert "Traceback" not in server.output()

    def test_a_hundred_stalled_bodies_do_not_starve_others(self, server: Server):
        stalled = [server.connect() for _ in range(100)]
        for connection in stalled:
            connection.send(b"POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert {answer.status for answer in pool.map(server.embed, ["hello"] * 40)} == {200}
        for connection in stalled:
            connection.close()
