"""What images are built from: a local model, a bundle, the hub with a token, plain Docker; and what never gets in."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from build.model.default_model import MODEL
from manifest import Target
from tests.support.image.containers import HOST, LOCKED, Container, archive, docker, inspect, make_image
from tests.support.models import tiny_models
from tests.support.models.tiny_description import Dense
from tests.support.models.tiny_models import TinyModel
from tests.support.paths import ROOT
from tests.support.server import hub_server

pytestmark = pytest.mark.system

TINY = TinyModel(
    "tiny", "bert", "bert", "BertModel", normalize=True, prompts={"query": "query: "}, layers=(Dense(16, True, "GELU"),)
)
TOKEN = "hf_aVeryPrivateToken0123456789"
ELF_MACHINE = {Target.AMD64: b"\x3e\x00", Target.ARM64: b"\xb7\x00"}
"""e_machine of the ELF header, little-endian."""


def last_line(ran: subprocess.CompletedProcess[str]) -> str:
    """The last line of the program's own, above make's."""
    return [line for line in ran.stdout.splitlines() if not line.startswith("make: ***")][-1]


def test_a_local_model_becomes_an_image(images: dict[Target, str], tmp_path: Path):
    directory = tiny_models.copy(TINY, tmp_path / "My Model")
    tag = f"cpu2vec:my-model-fp32-{HOST}"
    ran = make_image(f"MODEL={directory}", f"ARCH={HOST}", "PRECISION=fp32")
    assert ran.returncode == 0, ran.stdout
    assert tag in ran.stdout
    labels = inspect(tag)["Config"]["Labels"]
    assert (labels["cpu2vec.model"], labels["cpu2vec.precision"]) == ("My Model", "fp32")
    container = Container(tag, *LOCKED)
    try:
        container.wait_until_ready()
    finally:
        container.remove()
        docker("image", "rm", tag)


def test_a_finished_bundle_becomes_the_same_image(images: dict[Target, str], tmp_path: Path):
    bundle, tag = tmp_path / "bundle", "cpu2vec:system-test-bundle"
    with archive(images[Target.ARM64], Target.ARM64) as exported:
        bundle.mkdir()
        for member in exported:
            if member.isfile() and member.name.startswith("bundle/"):
                (bundle / Path(member.name).name).write_bytes(exported.extractfile(member).read())
    ran = make_image(f"BUNDLE={bundle}", "ARCH=arm64", f"TAG={tag}")
    assert ran.returncode == 0, ran.stdout
    assert inspect(tag)["Config"]["Labels"] == inspect(images[Target.ARM64])["Config"]["Labels"]
    docker("image", "rm", tag)

    (bundle / "tokenizer.json").write_text("{}")
    ran = make_image(f"BUNDLE={bundle}", "ARCH=arm64", f"TAG={tag}")
    assert ran.returncode != 0
    assert "tokenizer.json has 2 bytes" in last_line(ran)


def test_a_token_reaches_the_hub_and_nothing_else(images: dict[Target, str]):
    """The hub is on this machine, so that the build shares its network."""
    tag = f"cpu2vec:org-private-model-fp32-{HOST}"
    variables = ("MODEL=org/private-model", f"ARCH={HOST}", "PRECISION=fp32")
    network = os.environ.get("DOCKER_BUILD_ARGS", "") + " --network host"
    with hub_server.running_hub() as hub:
        files = hub_server.files_of(tiny_models.make(TINY))
        hub.repositories["Org/Private-Model"] = repository = hub_server.Repository(files, token=TOKEN)
        environment = {"HF_ENDPOINT": hub.endpoint, "DOCKER_BUILD_ARGS": network}
        refused = make_image(*variables, HF_TOKEN="", **environment)
        ran = make_image(*variables, HF_TOKEN=TOKEN, **environment)
    assert refused.returncode != 0
    assert re.search(r"make image: the image was not built: .*pass a token in HF_TOKEN", last_line(refused))
    assert ran.returncode == 0, ran.stdout
    assert TOKEN in {request.token for request in hub.seen}
    assert inspect(tag)["Config"]["Labels"]["cpu2vec.model"] == "Org/Private-Model"
    assert inspect(tag)["Config"]["Labels"]["cpu2vec.model.revision"] == repository.commit
    assert TOKEN not in ran.stdout
    assert TOKEN not in docker("image", "inspect", tag) + docker("history", "--no-trunc", tag)
    saved = subprocess.run(["docker", "save", tag], check=True, capture_output=True).stdout
    assert TOKEN.encode() not in saved
    docker("image", "rm", tag)


def test_a_stray_secret_beside_the_sources_reaches_no_build(images: dict[Target, str], tmp_path: Path):
    """The context, as the engine itself reads .dockerignore."""
    context, out = tmp_path / "context", tmp_path / "out"
    kept = (
        "VERSION",
        "manifest.py",
        "requirements.in",
        "requirements.txt",
        "build/image/__main__.py",
        "build/data/heldout.txt",
        "kernels/src/ops.cpp",
        "runtime/inference/saturation.onnx",
        "sections/text.py",
    )
    local = (".image-context/a/model/config.json", ".image-context/a/model/.hidden")
    stray = (
        ".env",
        "hf_token",
        ".git/config",
        "bundles/a/model.onnx",
        ".venv/bin/python",
        "kernels/lib/libcpu2vec-amd64.so",
        "kernels/programs/selftest.cpp",
        "kernels/src/.env",
        "runtime/.env",
        "tests/a.py",
    )
    caches = ("runtime/__pycache__/a.pyc", "build/__pycache__/a.pyc", "build/data/.token")
    for name in (*kept, *local, *stray, *caches):
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(name)
    shutil.copy(ROOT / ".dockerignore", context)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    command = ["docker", "build", "--file", tmp_path / "Dockerfile", "--output", f"type=local,dest={out}", context]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "DOCKER_BUILDKIT": "1"})
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {*kept, *local}


def test_docker_alone_builds_an_image_with_the_labels_that_its_arguments_tell(
    images: dict[Target, str], target: Target, tmp_path: Path
):
    tag = f"cpu2vec:plain-test-{target}"
    command = ["docker", "build", "--file", f"Dockerfile.{target}", "--build-arg", f"MODEL={MODEL}", "--tag", tag]
    command += ["--build-arg", "TORCH_LINKS"] if "TORCH_LINKS" in os.environ else []
    command += [*shlex.split(os.environ.get("DOCKER_BUILD_ARGS", "")), "."]
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    environment.pop("DOCKER_DEFAULT_PLATFORM", None)
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    labels = json.loads(docker("image", "inspect", "--format", "{{json .Config.Labels}}", tag))
    assert labels["cpu2vec.model"] == MODEL
    assert labels["cpu2vec.target"] == target
    name = docker("create", tag).strip().splitlines()[-1]
    docker("cp", f"{name}:/usr/bin/python3.11", str(tmp_path / "python"))
    docker("rm", name)
    docker("image", "rm", tag)
    assert (tmp_path / "python").read_bytes()[18:20] == ELF_MACHINE[target]
