"""What images are published with: a list of their contents that is true, and tags that a real registry keeps."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from manifest import Target
from tests.support.image.bases import Bases
from tests.support.image.containers import HOST, archive, docker, inspect, run_make
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.system

CONFIGURATION = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {home}/images}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def test_the_list_of_an_images_contents_is_complete(images: dict[Target, str]):
    tag = images[HOST]
    ran = run_make("sbom", f"IMAGE={tag}")
    assert ran.returncode == 0, ran.stdout
    document = json.loads(ran.stdout[ran.stdout.index('{\n  "') :])
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    described = document["metadata"]["component"]
    assert (described["name"], described["version"]) == (tag, inspect(tag)["Id"])
    listed = {component["bom-ref"]: component for component in document["components"]}
    with archive(tag, HOST) as exported:
        names = exported.getnames()
        status = exported.extractfile("var/lib/dpkg/status").read().decode()
    found = re.findall(r"/([^/-]+)-([^/-]+)\.dist-info/METADATA$", "\n".join(names), re.MULTILINE)
    assert len(found) >= 8
    python = {f"pkg:pypi/{name.lower().replace('_', '-')}@{version}" for name, version in found}
    assert {reference for reference in listed if reference.startswith("pkg:pypi/")} == python
    debian = set(re.findall(r"^Package: (\S+)$", status, re.MULTILINE))
    packages = [component for reference, component in listed.items() if reference.startswith("pkg:deb/")]
    assert {package["name"] for package in packages} == debian
    assert all(f"arch={HOST}" in package["purl"] for package in packages)
    (model,) = [component for component in listed.values() if component["type"] == "machine-learning-model"]
    assert model["name"] == inspect(tag)["Config"]["Labels"]["cpu2vec.model"]
    (relations,) = [entry for entry in document["dependencies"] if entry["ref"] == described["bom-ref"]]
    assert set(relations["dependsOn"]) == set(listed)


def test_what_is_no_image_of_the_project_is_refused():
    ran = run_make("sbom", "IMAGE=debian:bookworm-slim")
    assert ran.returncode != 0
    assert "debian:bookworm-slim is not an image of this project: it has no " in ran.stdout
    ran = run_make("sbom", "IMAGE=cpu2vec:not-there")
    assert "the engine does not have the image cpu2vec:not-there" in ran.stdout


OF_DOCKER = ("etc/", "etc", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf")
"""Docker makes these for a container."""


@pytest.mark.images
def test_two_builds_give_the_same_tree(bases: Bases):
    """One of them without a layer of the other. What Docker itself puts into a container is left out."""
    tag = "cpu2vec:built-again"
    arguments = ["--build-arg", "KIND_FROM=argument", "--build-arg", "KIND=clip"]
    command = ["docker", "build", "--file", f"Dockerfile.{HOST}", "--target", "runtime", "--no-cache", "--tag", tag]
    command += [*arguments, *shlex.split(os.environ.get("DOCKER_BUILD_ARGS", "")), "."]
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment)
    again, first = tree(tag), tree(bases.tag("cpu2vec-runtime", HOST))
    docker("image", "rm", tag)
    assert {name: entry for name, entry in first.items() if again.get(name) != entry} == {}
    assert again.keys() == first.keys()


def tree(tag: str) -> dict[str, tuple[object, ...]]:
    """By path: type, mode, owner, time, target of a link, and hash of the content."""
    with archive(tag, HOST) as exported:
        return {
            member.name: (
                *(member.type, member.mode, member.uid, member.gid, member.mtime, member.linkname),
                hashlib.sha256(exported.extractfile(member).read()).hexdigest() if member.isreg() else "",
            )
            for member in exported
            if not member.name.startswith((".dockerenv", "dev", "proc", "sys")) and member.name not in OF_DOCKER
        }


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty registry on this machine, which Docker trusts without TLS."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.fail("this test needs Debian's package docker-registry")
    home = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (home / "config.yml").write_text(CONFIGURATION.format(home=home, port=port))
    with subprocess.Popen([program, "serve", home / "config.yml"], stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/v2/")
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def wait_for(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE):
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def recipe() -> str:
    """The commands of docs/images.md that join two architectures."""
    page = (ROOT / "docs" / "images.md").read_text().split("\n### One tag for both architectures\n")[1]
    (block,) = re.findall(r"^```sh\n(docker push.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return str(block)


def test_images_survive_a_registry_and_are_joined_under_one_tag(bases: Bases, registry: str, tmp_path: Path):
    """By the page's own commands, with this registry in place of the page's."""
    names = {target: f"{registry}/search/cpu2vec-runtime:0.1.0-{target}" for target in Target}
    ids = {}
    for target, name in names.items():
        docker("tag", bases.tag("cpu2vec-runtime-static", target), name)
        ids[target] = inspect(name)["Id"]
    insecure = recipe().replace("manifest create", "manifest create --insecure")
    insecure = insecure.replace("manifest push", "manifest push --insecure")
    commands = insecure.replace("registry.example/", f"{registry}/")
    joined = f"{registry}/search/cpu2vec-runtime:0.1.0"
    try:
        subprocess.run(["bash", "-e", "-c", commands], cwd=tmp_path, check=True, capture_output=True)
        docker("image", "rm", *names.values())
        for target in Target:
            docker("pull", "--platform", f"linux/{target}", joined)
            assert (inspect(joined)["Architecture"], inspect(joined)["Id"]) == (target, ids[target])
    finally:
        subprocess.run(["docker", "image", "rm", joined, *names.values()], capture_output=True)
