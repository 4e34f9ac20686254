"""The default model's two images, run locked down: answers, limits, what they leave, how they end."""

from __future__ import annotations

import datetime
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from build.fidelity.requests import heldout_texts
from build.kernels import ARCHITECTURES
from build.model.default_model import MODEL
from manifest import Target
from runtime.page.document import Page
from tests.support.image.containers import HOST, LOCKED, READY_SECONDS, Container, docker, emulation

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

pytestmark = pytest.mark.system

STOP_SECONDS = 110
"""Less than the server keeps an idle connection."""
TEXTS = heldout_texts()[::20]


@pytest.fixture(scope="session")
def containers(
    images: dict[Target, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Target, Container]]:
    """Both images running, ready, as locked down as a cluster may do it."""
    running: dict[Target, Container] = {}
    try:
        for target, tag in images.items():
            options = [*LOCKED, "--platform", f"linux/{target}", *emulation(target, tmp_path_factory.mktemp("cpu"))]
            running[target] = Container(tag, *options)
        for container in running.values():
            container.wait_until_ready()
        yield running
    finally:
        for container in running.values():
            container.remove()


@pytest.fixture(scope="session")
def vectors(containers: dict[Target, Container]) -> dict[Target, np.ndarray]:
    """(texts, dim) of each image for ``TEXTS``."""
    code = """
answers = [ask("POST", "/vectors", {"text": text}) for text in json.load(sys.stdin)]
print(json.dumps([json.loads(answer)["vector"] for status, answer in answers]))
"""
    return {target: np.asarray(json.loads(each.python(code, TEXTS))) for target, each in containers.items()}


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


def test_it_serves_the_model_that_it_names(containers: dict[Target, Container], target: Target):
    status, body = json.loads(containers[target].python("print(json.dumps(ask('GET', '/meta')))"))
    assert status == 200
    meta = json.loads(body)
    assert meta["model_path"] == MODEL
    assert meta["bundle"]["target"] == target
    assert meta["bundle"]["precision"] == "int8"
    assert meta["model"]["model_type"] == "bert"


def test_browsers_get_its_page(containers: dict[Target, Container], target: Target):
    status, body = json.loads(containers[target].python("print(json.dumps(ask('GET', '/')))"))
    assert (status, body) == (200, Page().document.body.decode())


def test_it_runs_on_the_native_kernels_of_its_architecture(containers: dict[Target, Container], target: Target):
    """Under emulation as well: the processor that QEMU simulates has the dot product."""
    _, body = json.loads(containers[target].python("print(json.dumps(ask('GET', '/meta')))"))
    kernels = json.loads(body)["serving"]["kernels"]
    assert kernels in {*ARCHITECTURES[target].isas, "scalar"}
    if target is not HOST and target is Target.ARM64:
        assert kernels == "neon_dot"


def test_vectors_are_those_of_the_original(
    vectors: dict[Target, np.ndarray], target: Target, original: SentenceTransformer
):
    found = cosines(vectors[target], original.encode(list(TEXTS)))
    print(f"{target} to the original: mean {found.mean():.6f}, minimum {found.min():.6f}")
    assert found.min() >= 0.98
    assert found.mean() >= 0.99


def test_both_architectures_agree(vectors: dict[Target, np.ndarray]):
    found = cosines(vectors[Target.AMD64], vectors[Target.ARM64])
    print(f"amd64 to arm64: mean {found.mean():.6f}, minimum {found.min():.6f}")
    # Half of the texts come out alike. In the others a last bit of fp32 moves activations to another of 256 steps.
    assert found.min() >= 0.985
    assert found.mean() >= 0.997


def test_nothing_is_written_while_it_serves(images: dict[Target, str], target: Target, tmp_path: Path):
    """On a file system that could be written, and with a home that invites to it."""
    options = ["--platform", f"linux/{target}", "--network", "none", "--user", "0:0", "--env", "HOME=/root"]
    container = Container(images[target], *options, *emulation(target, tmp_path))
    try:
        container.wait_until_ready()
        container.python("print([ask('POST', '/vectors', {'text': str(number)}) for number in range(20)][0][0])")
        changed = docker("diff", container.name).splitlines()
    finally:
        container.remove()
    assert changed == []


def test_it_turns_healthy(containers: dict[Target, Container], target: Target):
    deadline = time.monotonic() + READY_SECONDS
    while (health := containers[target].state["Health"])["Status"] == "starting" and time.monotonic() < deadline:
        time.sleep(0.5)
    assert health["Status"] == "healthy"


def test_sigterm_does_not_wait_for_a_client_that_holds_a_connection(
    images: dict[Target, str], target: Target, tmp_path: Path
):
    container = Container(images[target], *LOCKED, "--platform", f"linux/{target}", *emulation(target, tmp_path))
    try:
        container.wait_until_ready()
        hold = "print(ask('POST', '/vectors', {'text': 'a'})[0], flush=True); time.sleep(3600)"
        client = subprocess.Popen(["docker", *container.command(hold)], stdout=subprocess.PIPE, text=True)
        with client:
            assert client.stdout is not None
            assert client.stdout.readline() == "200\n"
            docker("stop", "--time", str(STOP_SECONDS), container.name)
        assert container.state["ExitCode"] == 0  # Docker would have killed it.
    finally:
        container.remove()


@pytest.mark.parametrize(("quota", "cores"), [("1", 1), ("0.5", 1)])
def test_threads_follow_the_containers_quota(images: dict[Target, str], quota: str, cores: int):
    container = Container(images[HOST], *LOCKED, "--cpus", quota)
    try:
        container.wait_until_ready()
        assert f", {cores} core(s)" in container.log()
    finally:
        container.remove()


AT_ONCE = """
import threading
text, number = json.load(sys.stdin)
answers = []
def send():
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=900)
    connection.request("POST", "/vectors", json.dumps({"text": text}))
    answer = connection.getresponse()
    answers.append([answer.status, json.loads(answer.read()).get("dim")])
threads = [threading.Thread(target=send) for _ in range(number)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(answers))
"""


def test_a_gigabyte_is_enough_for_eight_texts_of_a_megabyte_at_once(images: dict[Target, str]):
    """Each is read in thousands of windows. The limit includes the client, which runs beside the server."""
    container = Container(images[HOST], *LOCKED, "--memory", "1g", "--memory-swap", "1g")
    try:
        container.wait_until_ready()
        text = ("Seven stones lie under the green river, and a ferry passes over them. " * 15_000)[:1_000_000]
        assert json.loads(container.python(AT_ONCE, [text, 8])) == [[200, 384]] * 8
        assert container.state["Running"]
        assert not container.state["OOMKilled"]
    finally:
        container.remove()


PYTHON = ("--entrypoint", "/usr/bin/python3.11")
LIBRARIES = "import falcon, gunicorn, numpy, onnxruntime, tokenizers, uvloop"


def test_it_is_ready_soon_after_its_libraries_are_imported(images: dict[Target, str]):
    """From ``docker run`` to the log line, against a container of the same image that only imports them and ends."""
    ratios = []
    for _ in range(3):
        began = time.monotonic()
        docker("run", "--rm", *LOCKED, *PYTHON, images[HOST], "-c", LIBRARIES)
        imports = time.monotonic() - began
        began_at = datetime.datetime.now(datetime.UTC)
        container = Container(images[HOST], *LOCKED)
        try:
            container.wait_until_ready()
            (ready,) = [line.split()[0] for line in container.log("--timestamps").splitlines() if "ready after" in line]
        finally:
            container.remove()
        ratios.append((datetime.datetime.fromisoformat(ready) - began_at).total_seconds() / imports)
    print(f"ready after {min(ratios):.1f} times what the imports take")
    assert 0 < min(ratios) < 4
