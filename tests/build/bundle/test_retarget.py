"""One build for both architectures: the same files under two manifests."""

from __future__ import annotations

import dataclasses
import io
import shutil
from pathlib import Path
from typing import Any

import pytest

from build.bundle.retarget import retarget
from build.cli import main
from build.errors import OutputExists, OutputNotAllowed
from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress
from manifest import MANIFEST_FILE, Precision, Target, check_files, read_manifest
from tests.support.models import tiny_models
from tests.support.models.tiny_description import TinyModel

pytestmark = pytest.mark.slow

MODEL = TinyModel("both", "bert", "bert", "BertModel")


@pytest.fixture(scope="module")
def model() -> Path:
    return tiny_models.make(MODEL)


@pytest.fixture(scope="module")
def built(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with both bundles, made by the command line."""
    home = tmp_path_factory.mktemp("both")
    assert main([str(model), "--arch", "both", "--output", str(home / "bundle")]) == 0
    return home


def test_both_bundles_are_complete_and_differ_in_the_target_alone(built: Path):
    assert sorted(path.name for path in built.iterdir()) == ["bundle-amd64", "bundle-arm64"]
    manifests = {target: read_manifest(built / f"bundle-{target}") for target in Target}
    for target, manifest in manifests.items():
        assert manifest.target is target
        check_files(built / f"bundle-{target}", manifest, hashes=True)
    amd64, arm64 = manifests.values()
    assert dataclasses.replace(arm64, target=Target.AMD64) == amd64


def test_the_files_take_room_once(built: Path):
    for name in read_manifest(built / "bundle-amd64").files:
        assert (built / "bundle-amd64" / name).samefile(built / "bundle-arm64" / name)


def test_one_target_alone_gives_the_same_bundle(built: Path, model: Path, tmp_path: Path):
    options = BuildOptions(str(model), None, Target.ARM64, Precision.INT8, tmp_path / "alone", force=False)
    build_bundle(options, Progress(stream=io.StringIO()))
    expected = built / "bundle-arm64" / MANIFEST_FILE
    assert (tmp_path / "alone" / MANIFEST_FILE).read_text() == expected.read_text()


def test_an_extra_output_that_exists_is_refused_before_any_work(tmp_path: Path):
    (tmp_path / "extra").mkdir()
    with pytest.raises(OutputExists, match="extra exists already: pass --force"):
        build_bundle(with_an_extra("no/such-model", tmp_path), Progress(stream=io.StringIO()))


def with_an_extra(model: str, home: Path, **changes: Any) -> BuildOptions:
    """A bundle, and an extra one for the other architecture."""
    extra_targets = ((Target.ARM64, home / "extra"),)
    return BuildOptions(
        model, None, Target.AMD64, Precision.INT8, home / "bundle", force=False, extra_targets=extra_targets, **changes
    )


@pytest.mark.parametrize("name", ["bundle", "extra"])
def test_an_output_inside_the_model_is_refused(model: Path, tmp_path: Path, name: str):
    copied = tmp_path / "home" / name
    shutil.copytree(model, copied)
    before = sorted(copied.rglob("*"))
    with pytest.raises(OutputNotAllowed, match=f"{name} is the model's directory: choose another --output$"):
        build_bundle(with_an_extra(str(copied), tmp_path / "home"), Progress(stream=io.StringIO()))
    assert sorted(copied.rglob("*")) == before
    assert sorted((tmp_path / "home").iterdir()) == [copied]


def test_a_failure_while_the_extra_bundle_is_written_leaves_neither(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise RuntimeError("made up")

    monkeypatch.setattr("build.pipeline.retarget", fail)
    (tmp_path / "home").mkdir()
    with pytest.raises(RuntimeError, match="made up"):
        build_bundle(with_an_extra(str(model), tmp_path / "home"), Progress(stream=io.StringIO()))
    assert list((tmp_path / "home").iterdir()) == []


def test_without_links_files_are_copied(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    bundle = built / "bundle-amd64"
    (tmp_path / "copy").mkdir()
    retarget(bundle, read_manifest(bundle), Target.ARM64, tmp_path / "copy")
    check_files(tmp_path / "copy", read_manifest(tmp_path / "copy"), hashes=True)
