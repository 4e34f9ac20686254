"""Which bundles an image build accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from build.image.check_bundle import check_bundle, main
from manifest import MANIFEST_FILE, BundleError, Target, bundle_files
from tests.support.image.fake_docker import MODEL, write_bundle


def test_an_intact_bundle_is_admitted_readable_by_everybody(tmp_path: Path):
    bundle = write_bundle(tmp_path / "mine")
    (bundle / "model.onnx").chmod(0o600)
    main([str(bundle), str(tmp_path / "admitted"), "arm64"])
    assert {path.name for path in (tmp_path / "admitted").iterdir()} == {*bundle_files(MODEL), MANIFEST_FILE}
    assert (tmp_path / "admitted" / "model.onnx").stat().st_mode & 0o444 == 0o444


def test_a_damaged_bundle_stops_the_build(tmp_path: Path):
    bundle = write_bundle(tmp_path / "mine")
    (bundle / "model.onnx").write_text("CONTENT of model.onnx")
    with pytest.raises(SystemExit, match="does not have the manifest's sha256"):
        main([str(bundle), str(tmp_path / "admitted"), "arm64"])


def test_a_bundle_for_the_other_architecture_is_refused(tmp_path: Path):
    bundle = write_bundle(tmp_path / "mine")
    with pytest.raises(BundleError, match="must be a bundle for amd64, not for arm64"):
        check_bundle(bundle, Target.AMD64)
