"""The command line of ``make bases``: images to build one's own images from, without this checkout.

``cpu2vec-build`` makes bundles, and the others serve them. Needs only Docker and Python's standard library.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

from build.command_line import ARCHITECTURES, Parser, format_size, run
from build.errors import InvalidOption
from build.image.docker import Docker
from build.image.labels import OCI, describe_project, project_labels
from build.paths import ROOT
from manifest import Kind, Target

PROGRAM = "build.image.bases"
DESCRIPTION = "Build the base images of your own Dockerfiles. docs/custom-images.md shows how to use them."

REGISTRY = re.compile(r"\w[\w.-]*(?::\d+)?(?:/[a-z0-9][a-z0-9._-]*)*", re.ASCII)
"""What stands before the name of an image: a registry, and a path there."""

BUILD_BASE = "cpu2vec-build"


@dataclass(frozen=True)
class RuntimeBase:
    """A base image that serves bundles."""

    name: str
    kind: Kind
    """By this kind, files are left out (``rootfs.UNUSED_BY_KIND``)."""


RUNTIME_BASES = (RuntimeBase("cpu2vec-runtime", Kind.CLIP), RuntimeBase("cpu2vec-runtime-static", Kind.STATIC))
"""The first serves bundles of every kind: no other leaves out as little."""


def main(arguments: list[str]) -> int:
    """Build the bases; Docker's own progress passes through, and a line for each goes to standard output."""
    parser = Parser(PROGRAM, DESCRIPTION)
    parser.add_argument(
        "--arch",
        type=ARCHITECTURES,
        required=True,
        metavar=ARCHITECTURES.metavar,
        help=f"CPU architecture of the runtime bases; {BUILD_BASE} is for this machine's",
    )
    parser.add_argument("--registry", help="goes before the names, such as ghcr.io/my-org")
    options = parser.read(arguments)
    return run(PROGRAM, lambda: _build(options.arch, options.registry), "bases that were finished before are there")


def _build(target: Target, registry: str | None) -> int:
    tags = build_bases(target, registry, docker := Docker(ROOT))
    for tag in tags:
        print(f"{tag:<50} {format_size(docker.image_size(tag))}")
    return 0


def build_bases(target: Target, registry: str | None, docker: Docker) -> list[str]:
    """Build ``cpu2vec-build`` for this machine and the runtime bases for ``target``; return their tags.

    Raises ``InvalidOption`` or ``DockerFailed``.
    """
    if registry is not None and not REGISTRY.fullmatch(registry):
        raise InvalidOption(f"REGISTRY must be what stands before an image's name, as ghcr.io/my-org, not {registry!r}")
    docker.require_engine()
    tags = [_make(BUILD_BASE, "build-base", Target.of_machine() or Target.AMD64, {}, registry, docker)]
    for base in RUNTIME_BASES:
        arguments = {"KIND_FROM": "argument", "KIND": str(base.kind)}
        tags.append(_make(base.name, "runtime", target, arguments, registry, docker))
    return tags


def _make(
    name: str, stage: str, target: Target, arguments: dict[str, str], registry: str | None, docker: Docker
) -> str:
    """Build one stage of the target's Dockerfile under its tag, which is returned."""
    project = describe_project(ROOT)
    tag = f"{registry}/{name}" if registry else name
    tag += f":{project.version}-{target}"
    labels = {f"{OCI}.title": name, **project_labels(project)}
    words = [word for label, value in labels.items() for word in ("--label", f"{label}={value}")]
    docker.build(target, arguments, ["--target", stage, "--tag", tag, *words])
    return tag


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
