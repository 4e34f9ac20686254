"""Base images: a Dockerfile in a folder of its own builds on them, and they serve a bundle from a volume."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from manifest import Target
from tests.support.image.bases import Bases
from tests.support.image.containers import HOST, LOCKED, Container, archive, docker, emulation, inspect
from tests.support.models.static_models import own_layout, wordpiece
from tests.support.paths import ROOT

pytestmark = pytest.mark.system

ASK = "print(*ask('POST', '/vectors', {'text': 'the ferry'}))"


def a_bundle(image: str, target: Target, directory: Path) -> Path:
    """A copy of an image's bundle."""
    with archive(image, target) as exported:
        members = [member for member in exported if member.name.startswith("bundle/") and member.isfile()]
        exported.extractall(directory, members, filter="data")
    return directory / "bundle"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It holds a static model, and no more."""
    folder = tmp_path_factory.mktemp("folder")
    own_layout(folder / "my-static-model", wordpiece())
    return folder


@pytest.fixture(scope="module", params=Target)
def static_image(
    request: pytest.FixtureRequest, bases: Bases, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Target]]:
    target = request.param
    tag = f"cpu2vec:custom-static-{target}"
    bases.build("A local static model", folder, target, tag)
    yield tag, target
    docker("image", "rm", tag)


def test_a_dockerfile_with_a_model_becomes_an_image_of_each_architecture(
    static_image: tuple[str, Target], tmp_path: Path
):
    tag, target = static_image
    assert inspect(tag)["Architecture"] == target
    container = Container(tag, *LOCKED, "--platform", f"linux/{target}", *emulation(target, tmp_path))
    try:
        container.wait_until_ready()
        assert container.python(ASK).startswith("200 {")
    finally:
        container.remove()


def test_one_image_serves_bundles_from_volumes(images: dict[Target, str], bases: Bases, tmp_path: Path):
    bundle = a_bundle(images[HOST], HOST, tmp_path)
    runtime = bases.tag("cpu2vec-runtime", HOST)
    container = Container(runtime, *LOCKED, "--volume", f"{bundle}:/bundle:ro")
    try:
        container.wait_until_ready()
        assert container.python(ASK).startswith("200 {")
    finally:
        container.remove()
    refused = Container(bases.tag("cpu2vec-runtime-static", HOST), *LOCKED, "--volume", f"{bundle}:/bundle:ro")
    try:
        assert docker("wait", refused.name).strip() == "2"
        (line,) = refused.log().splitlines()
        assert line.endswith("and this one is of kind text: serve it with cpu2vec-runtime")
    finally:
        refused.remove()


@pytest.mark.parametrize("name", ["cpu2vec-runtime", "cpu2vec-runtime-static"])
def test_without_a_bundle_one_line_says_what_to_mount(bases: Bases, name: str):
    container = Container(bases.tag(name, HOST), *LOCKED)
    try:
        assert docker("wait", container.name).strip() == "2"
        (line,) = container.log().splitlines()
        assert line.endswith('mount one there (docker run --volume "$PWD/bundle:/bundle:ro")')
    finally:
        container.remove()


def test_bases_say_what_they_are(bases: Bases):
    for tag in bases.tags:
        image = inspect(tag)
        labels = image["Config"]["Labels"]
        assert labels["org.opencontainers.image.title"] == tag.split("/")[1].split(":")[0]
        assert labels["org.opencontainers.image.version"] == (ROOT / "VERSION").read_text().strip()
        assert tag.endswith(f"-{image['Architecture']}")
        assert "cpu2vec.model" not in labels
    runtime, static = (inspect(bases.tag(f"cpu2vec-runtime{end}", HOST))["Size"] for end in ("", "-static"))
    assert static < runtime - 25_000_000


def test_the_build_base_lists_the_options_of_its_command(bases: Bases):
    assert "--download-only" in docker("run", "--rm", bases.tag("cpu2vec-build", HOST))


def test_no_kind_is_missing_from_the_base_for_all(bases: Bases):
    """The files of rerankers and static models are all in the base that is made for text."""
    names = {member.name for member in archive(bases.tag("cpu2vec-runtime", HOST), HOST)}
    static = {member.name for member in archive(bases.tag("cpu2vec-runtime-static", HOST), HOST)}
    assert static < names
