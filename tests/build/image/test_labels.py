"""An image's labels: the software's under OCI's names, the model's under the project's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from build.image.labels import Project, describe_project, image_labels
from manifest import CosineFigures, Fidelity, ScoreFigures, Source, SourceKind
from tests.support.image.fake_docker import a_manifest
from tests.support.paths import ROOT

PROJECT = Project(version="1.2.3", revision="0123abc", source="https://code.example/cpu2vec")


def test_labels_say_what_is_in_the_image():
    assert image_labels(a_manifest(), PROJECT) == {
        "org.opencontainers.image.title": "BAAI/bge-small-en-v1.5",
        "org.opencontainers.image.description": "BAAI/bge-small-en-v1.5 (int8), served on CPUs by cpu2vec",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": "1.2.3",
        "org.opencontainers.image.revision": "0123abc",
        "org.opencontainers.image.source": "https://code.example/cpu2vec",
        "cpu2vec.version": "1.2.3",
        "cpu2vec.model": "BAAI/bge-small-en-v1.5",
        "cpu2vec.model.revision": "c0ffee",
        "cpu2vec.model.license": "mit",
        "cpu2vec.model.url": "https://huggingface.co/BAAI/bge-small-en-v1.5",
        "cpu2vec.kind": "text",
        "cpu2vec.target": "arm64",
        "cpu2vec.precision": "int8",
        "cpu2vec.fidelity.texts": "240",
        "cpu2vec.fidelity.cosine_mean": "0.992848",
        "cpu2vec.fidelity.cosine_p1": "0.980000",
        "cpu2vec.fidelity.cosine_min": "0.970000",
    }


SCORES = ScoreFigures(544, error_mean=0.01, error_max=0.1, error_rms=0.0123456, rank_agreement=0.987, top_kept=1.0)


def test_a_rerankers_labels_are_about_its_scores():
    labels = image_labels(a_manifest(fidelity=Fidelity(scores=SCORES)), PROJECT)
    figures = {name: value for name, value in labels.items() if name.startswith("cpu2vec.fidelity.")}
    assert figures == {
        "cpu2vec.fidelity.pairs": "544",
        "cpu2vec.fidelity.rank_agreement": "0.987000",
        "cpu2vec.fidelity.top_kept": "1.000000",
        "cpu2vec.fidelity.error_rms": "0.012346",
    }


def test_the_commit_of_code_in_another_repository_has_a_label():
    manifest = a_manifest(source=Source(SourceKind.HUB, "c0ffee", code_revision="decade"))
    assert image_labels(manifest, PROJECT)["cpu2vec.model.code_revision"] == "decade"


def test_what_is_not_known_has_no_label():
    manifest = a_manifest(licence=None, fidelity=None, source=Source(SourceKind.DIRECTORY, "sha256:00"))
    labels = image_labels(manifest, Project(None, None, None))
    absent = ("model.license", "url", "version", "image.revision", "source", "fidelity")
    assert not [name for name in labels if any(word in name for word in absent)]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_license_is_that_of_the_project():
    lines = (ROOT / "LICENSE").read_text().split("\n")
    assert [line.strip() for line in lines if line.strip()][:2] == ["Apache License", "Version 2.0, January 2004"]


def test_the_page_names_every_label():
    page = (ROOT / "docs" / "images.md").read_text()
    both = Fidelity(CosineFigures(count=240, mean=1.0, p1=1.0, minimum=1.0), SCORES)
    assert not [name for name in image_labels(a_manifest(fidelity=both), PROJECT) if f"`{name}`" not in page]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for words in (
        ["init", "--quiet"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "--message", "First"],
    ):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    return tmp_path


def git(checkout: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", checkout, *words], check=True, capture_output=True, text=True).stdout.strip()


def test_nothing_is_known_outside_of_a_checkout(checkout: Path):
    """Not even in a folder of somebody else's checkout."""
    (checkout / "copy").mkdir()
    assert describe_project(checkout / "copy") == Project(None, None, None)


def test_the_version_is_in_its_file_and_the_revision_is_the_commit(checkout: Path):
    (checkout / "VERSION").write_text("1.2.3\n")
    commit = git(checkout, "rev-parse", "HEAD")
    git(checkout, "tag", "v0")
    assert describe_project(checkout) == Project("1.2.3", commit, None)
    git(checkout, "add", "VERSION")
    assert describe_project(checkout).revision == f"{commit}-dirty"


@pytest.mark.parametrize(
    ("remote", "source"),
    [
        ("https://code.example/a/cpu2vec.git", "https://code.example/a/cpu2vec"),
        ("https://me:secret@code.example/a/cpu2vec", None),
        ("git@code.example:a/cpu2vec.git", None),
        ("/srv/cpu2vec", None),
    ],
)
def test_the_source_is_a_remote_that_a_browser_can_open(checkout: Path, remote: str, source: str | None):
    git(checkout, "remote", "add", "origin", remote)
    assert describe_project(checkout).source == source
