"""The default model's two images, built once for all tests, and their contents."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

import pytest

from build.model.default_model import MODEL
from manifest import Target
from tests.support.image.bases import Bases, build_bases
from tests.support.image.containers import HOST, archive, docker, make_image, require_engine

TARGETS = tuple(Target)


@pytest.fixture(scope="session")
def images() -> Iterator[dict[Target, str]]:
    """Both images' tags."""
    require_engine()
    tags = {target: f"cpu2vec:system-test-{target}" for target in TARGETS}
    # PERF: another spelling of the model is exported again, so that one of the two is what `make image` makes.
    spelled = {HOST: (f"MODEL={MODEL.lower()}", "PRECISION=int8")}
    for target, tag in tags.items():
        ran = make_image(f"ARCH={target}", f"TAG={tag}", *spelled.get(target, ()))
        assert ran.returncode == 0, ran.stdout
    yield tags
    docker("image", "rm", *tags.values())


@pytest.fixture(scope="session")
def bases() -> Iterator[Bases]:
    """The base images, of both architectures."""
    require_engine()
    with build_bases() as bases:
        yield bases


@pytest.fixture(scope="session", params=TARGETS)
def target(request: pytest.FixtureRequest) -> Target:
    return request.param


@pytest.fixture(scope="session")
def files(images: dict[Target, str], target: Target) -> dict[str, tarfile.TarInfo]:
    """Everything in an image's file system, by path without a leading slash."""
    return {member.name: member for member in archive(images[target], target).getmembers()}
