"""What stops the start of the server, with one line, and what does not."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from manifest import Target, describe_files, read_manifest, write_manifest
from tests.support.server.server_process import ready, started


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
