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
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from manifest import Target, describe_files, read_manifest, write_manifest
from runtime.host.priority import LOWEST, NICER
from tests.support.server.process_usage import nice_values
from tests.support.server.server_process import Server, ready, started, wait_until

LONG = "the quick brown fox jumps over the lazy dog " * 60
HOUR = 3600


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(default_bundle, tmp_path_factory.mktemp("server") / "log", [], MAX_BODY_BYTES="5000") as server:
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


def fails_to_start(bundle: Path, log: Path, command: list[str] | None = None, **settings: str) -> tuple[int, str]:
    with started(bundle, log, command, **settings) as server:
        return server.exit_status(), server.output()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "http", "PORT must be a whole number from 1 to 65535, not 'http'"),
        ("THREADS", "0", "THREADS must be"),
        ("ENABLE_CUDA", "1", "ENABLE_CUDA is on, but this server is CPU-only"),
        ("BUNDLE_DIR", "/does/not/exist", "/does/not/exist is not a directory"),
        ("AUTHENTICATION_ALLOWED_TOKENS", "", "AUTHENTICATION_ALLOWED_TOKENS has no token"),
        ("AUTHENTICATION_ALLOWED_TOKENS", os.fsdecode(b"\xff"), "AUTHENTICATION_ALLOWED_TOKENS must be in UTF-8"),
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


def test_an_error_that_nobody_foresaw_stops_the_server_for_good(broken: Path, tmp_path: Path):
    """Here: a layer for vectors of another size."""
    manifest = json.loads((broken / "manifest.json").read_text())
    dense = {"kind": "dense", "weight": "w", "bias": "b", "activation": "identity", "size": None}
    manifest["text"]["encoders"]["text"]["layers"].insert(0, dense)
    manifest["files"]["head.npz"] = {"size": 0, "sha256": "0" * 64}
    (broken / "manifest.json").write_text(json.dumps(manifest))
    with (broken / "head.npz").open("wb") as stream:
        np.savez(stream, w=np.zeros((384, 7), np.float32), b=np.zeros(384, np.float32))
    reseal(broken)
    status, output = fails_to_start(broken, tmp_path / "log")
    assert status == 3
    assert output.splitlines()[-1].endswith("(n?,k),(k,m?)->(n?,m?) (size 384 is different from 7)")
    assert "ERROR not serving: ValueError: matmul: " in output
    assert "Traceback" not in output


def test_golden_requests_that_are_all_too_long_prove_nothing(broken: Path, tmp_path: Path):
    golden = json.loads((broken / "golden.json").read_text())
    golden["requests"] = [request for request in golden["requests"] if len(request["body"]["text"].split()) > 3]
    assert golden["requests"]
    (broken / "golden.json").write_text(json.dumps(golden))
    reseal(broken)
    status, output = fails_to_start(broken, tmp_path / "log", MAX_TOKENS="3")
    assert status == 3
    assert "not serving: golden.json has no request that this server can check: raise MAX_TOKENS, or" in output


def test_a_bundle_without_golden_requests_proves_nothing(broken: Path, tmp_path: Path):
    (broken / "golden.json").write_text(json.dumps({"requests": []}))
    reseal(broken)
    status, output = fails_to_start(broken, tmp_path / "log")
    assert status == 3
    assert "not serving: golden.json has no request that this server can check" in output


def test_a_golden_request_catches_another_pooling(broken: Path, tmp_path: Path):
    manifest = json.loads((broken / "manifest.json").read_text())
    manifest["text"]["encoders"]["text"]["pooling"]["modes"] = ["cls"]
    (broken / "manifest.json").write_text(json.dumps(manifest))
    status, output = fails_to_start(broken, tmp_path / "log")
    assert status != 0
    assert "not serving: the golden request" in output


@pytest.mark.parametrize("address", ["::", "0.0.0.0", "127.0.0.1"])
def test_a_port_in_use_stops_the_start_with_one_line(default_bundle: Path, tmp_path: Path, address: str):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as taken:
        port = taken.getsockname()[1]
        status, output = fails_to_start(default_bundle, tmp_path / "log", PORT=str(port))
    assert (status, output.splitlines()) == (
        2,
        [f"cpu2vec: port {port} is already in use: stop what listens there, or set PORT to another port"],
    )


def test_the_port_is_looked_at_before_the_bundle(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, output = fails_to_start(tmp_path, tmp_path / "log", PORT=str(taken.getsockname()[1]))
    assert status == 2
    assert "is already in use" in output


def test_a_port_that_the_user_may_not_have_stops_the_start_with_one_line(default_bundle: Path, tmp_path: Path):
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 81:
        pytest.skip("here, every user may have every port")
    command = ["setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service"]
    status, output = fails_to_start(default_bundle, tmp_path / "log", command if os.getuid() == 0 else None, PORT="81")
    assert (status, output.splitlines()) == (
        2,
        ["cpu2vec: port 81 is not allowed for this user: set PORT to a port from 1024 on"],
    )


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


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "http", "PORT must be a whole number from 1 to 65535, not 'http'"),
        ("BUNDLE_DIR", "/does/not/exist", "/does/not/exist is not a directory: set BUNDLE_DIR to a bundle made by"),
    ],
)
def test_what_stops_the_start_can_be_json(default_bundle: Path, tmp_path: Path, name: str, value: str, message: str):
    status, output = fails_to_start(default_bundle, tmp_path / "log", LOG_FORMAT="json", **{name: value})
    assert status == 2
    (event,) = (json.loads(line) for line in output.splitlines())
    assert event["level"] == "error"
    assert event["message"].startswith(message)


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


READ_ONLY = """
for place in /var/tmp /dev/shm; do
    mount -t tmpfs -o ro none "$place" || exit 77
done
for place in /tmp "$PWD" "$TMPDIR"; do
    mount --rbind "$place" "$place" && mount -o remount,bind,ro "$place" || exit 77
done
for place in /tmp /var/tmp /dev/shm "$PWD" "$TMPDIR"; do
    test -w "$place" && exit 78
done
exec "$@"
"""
"""A shell's script: run a command where no place for temporary files, and no shared memory, can be written to."""


def test_it_starts_where_nothing_can_be_written(default_bundle: Path, tmp_path: Path):
    """As in a container without /dev/shm whose file system is read-only."""
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", READ_ONLY, "sh"]
    if subprocess.run([*command, "true"], env={"TMPDIR": str(tmp_path), "PATH": os.defpath}).returncode in (1, 77):
        pytest.skip("this user may not mount")
    with ready(default_bundle, tmp_path / "log", command, TMPDIR=str(tmp_path)) as server:
        assert server.embed("hello").status == 200
        assert server.terminate() == 0


def test_the_worker_ends_with_a_master_that_is_killed(default_bundle: Path, tmp_path: Path):
    with ready(default_bundle, tmp_path / "log") as server:
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not is_open(server.port), "the worker outlives its master", server.output)
        socket.create_server(("::", server.port), family=socket.AF_INET6, dualstack_ipv6=True).close()


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionError:
        return False
    return True


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
        """Once the time to drain is over, the body is not waited for until its own time is over, which is longer.

        The log and the exit status tell what was cut off.
        """
        with ready(default_bundle, tmp_path / "log", drain_seconds=1) as server, server.connect() as connection:
            connection.send(b'POST /vectors HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"text"')
            server.wait_until_read()
            assert server.terminate() == 3
            with pytest.raises(ConnectionError):
                connection.answer()
            assert "1 request(s) in progress were cut off" in server.output()

    def test_what_is_in_flight_and_what_still_comes_is_answered(self, default_bundle: Path, tmp_path: Path):
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
            assert refused.headers["connection"] == "close"
            late_answer = stack.enter_context(server.connect()).embed("late")
            statuses = [connection.answer().status for connection in connections]
            assert server.exit_status() == 0
        assert statuses == [200] * 60
        assert refused.status == 503
        assert refused.json == {"error": "the server is draining"}
        assert late_answer.status == 200
        assert late_answer.headers["connection"] == "close"

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
    @pytest.mark.parametrize("to_all", [False, True])
    def test_other_signals_that_end_programs_do_the_same(
        self, default_bundle: Path, tmp_path: Path, number: signal.Signals, to_all: bool
    ):
        """Docker signals the master alone; a terminal signals all processes."""
        with ready(default_bundle, tmp_path / "log", drain_seconds=HOUR) as server:
            if to_all:
                os.killpg(server.process.pid, number)
            else:
                server.process.send_signal(number)
            assert server.exit_status() == 0
        assert f"stopping on {number.name}" in server.output()
        assert "was ended by" not in server.output()


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
