"""One build for both architectures: the same files under two manifests."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest

from build.bundle.retarget import retarget
from build.cli import main
from build.errors import OutputExists
from build.pipeline import STAGES, BuildOptions, build_bundle
from build.progress import Progress
from manifest import MANIFEST_FILE, Precision, Target, check_files, read_manifest
from tests.support.models import tiny_models
from tests.support.models.tiny_description import TinyModel

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
    order = BuildOptions(str(model), None, Target.ARM64, Precision.INT8, tmp_path / "alone", force=False)
    build_bundle(order, Progress(STAGES, io.StringIO()))
    expected = built / "bundle-arm64" / MANIFEST_FILE
    assert (tmp_path / "alone" / MANIFEST_FILE).read_text() == expected.read_text()


def test_an_existing_twin_is_refused_before_any_work(tmp_path: Path):
    (tmp_path / "twin").mkdir()
    twins = ((Target.ARM64, tmp_path / "twin"),)
    order = BuildOptions(
        "no/such-model", None, Target.AMD64, Precision.INT8, tmp_path / "new", force=False, extra_targets=twins
    )
    with pytest.raises(OutputExists, match="twin exists already"):
        build_bundle(order, Progress(STAGES, io.StringIO()))


def test_without_links_files_are_copied(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    bundle = built / "bundle-amd64"
    retarget(bundle, read_manifest(bundle), Target.ARM64, tmp_path / "copy", force=False)
    check_files(tmp_path / "copy", read_manifest(tmp_path / "copy"), hashes=True)
