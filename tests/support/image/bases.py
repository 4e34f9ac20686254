"""Base images, and the Dockerfiles of docs/custom-images.md, built in folders that hold nothing else but a model."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from build.image.bases import BUILD_BASE, RUNTIME_BASES
from manifest import Target
from tests.support.image.containers import HOST, docker, run_make
from tests.support.paths import ROOT

REGISTRY = "system-test"
PAGE = (ROOT / "docs" / "custom-images.md").read_text()
DOCKERFILES: dict[str, str] = dict(
    re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```dockerfile\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
)
"""By heading."""


@dataclass(frozen=True)
class Bases:
    """The tags of base images."""

    version: str

    def tag(self, name: str, target: Target) -> str:
        return f"{REGISTRY}/{name}:{self.version}-{target}"

    @property
    def tags(self) -> list[str]:
        runtime = [self.tag(base.name, target) for base in RUNTIME_BASES for target in Target]
        return [self.tag(BUILD_BASE, HOST), *runtime]

    def build(self, heading: str, folder: Path, target: Target, tag: str, *options: str, hub: str | None = None) -> str:
        """Build the Dockerfile below a heading as its page says; return what Docker says. ``hub``: where the hub is."""
        text = DOCKERFILES[heading]
        (runtime,) = re.findall(r"^ARG RUNTIME=(\S+)$", text, re.MULTILINE)
        (folder / "Dockerfile").write_text(text)
        base = self.tag(BUILD_BASE, HOST)
        if hub is not None:
            base = self._reaching(hub, base)
        arguments = ["--build-arg", f"BUILD={base}", "--build-arg", f"RUNTIME={self.tag(runtime, target)}"]
        words = ["docker", "build", "--platform", f"linux/{target}", "--tag", tag, *arguments, *options]
        words += shlex.split(os.environ.get("DOCKER_BUILD_ARGS", ""))
        return _run([*words, str(folder)], None)

    def _reaching(self, hub: str, base: str) -> str:
        """The build base with the address of a hub. Two of them differ in that alone."""
        tag = f"{REGISTRY}/with-hub"
        _run(["docker", "build", "--tag", tag, "-"], f"FROM {base}\nENV HF_ENDPOINT={hub}\n")
        return tag


@contextmanager
def build_bases() -> Iterator[Bases]:
    """Build the bases as a user does; remove their tags at the end."""
    bases = Bases((ROOT / "VERSION").read_text().strip())
    for target in Target:
        ran = run_make("bases", f"ARCH={target}", f"REGISTRY={REGISTRY}")
        assert ran.returncode == 0, ran.stdout
    yield bases
    docker("image", "rm", *bases.tags)


def _run(command: list[str], given: str | None) -> str:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    ran = subprocess.run(
        command, input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout
