"""What --force may replace: nothing that a build has not made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from build.bundle.output import irreplaceable, refuse_existing, refuse_model_directory
from build.errors import OutputExists, OutputNotAllowed
from manifest import SCHEMA
from tests.support.json_files import write


def a_bundle(directory: Path, schema: object = SCHEMA, files: object = None) -> Path:
    """A bundle of two files, as far as a manifest tells."""
    directory.mkdir(parents=True)
    listed = {name: {"size": 1, "sha256": "0"} for name in ("config.json", "model.onnx")} if files is None else files
    write(directory / "manifest.json", {"schema": schema, "files": listed, "unknown": 1})
    for name in ("config.json", "model.onnx"):
        (directory / name).write_text("{}")
    return directory


def contents(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*")}


class TestReplaceable:
    def test_nothing(self, tmp_path: Path):
        refuse_existing(tmp_path / "new", force=False)

    def test_an_empty_directory(self, tmp_path: Path):
        refuse_existing(tmp_path, force=True)

    @pytest.mark.parametrize("schema", [1, SCHEMA, SCHEMA + 1])
    def test_a_bundle_of_any_schema(self, tmp_path: Path, schema: int):
        refuse_existing(a_bundle(tmp_path / "bundle", schema), force=True)

    def test_a_bundle_that_lacks_a_file(self, tmp_path: Path):
        bundle = a_bundle(tmp_path / "bundle")
        (bundle / "model.onnx").unlink()
        refuse_existing(bundle, force=True)

    def test_a_bundle_with_files_in_a_folder(self, tmp_path: Path):
        bundle = a_bundle(tmp_path / "bundle", files=["config.json", "model.onnx", "onnx/model.onnx.data"])
        (bundle / "onnx").mkdir()
        (bundle / "onnx" / "model.onnx.data").write_text("")
        refuse_existing(bundle, force=True)

    @pytest.mark.parametrize("make", [Path.mkdir, a_bundle], ids=["empty", "bundle"])
    def test_without_force_none_of_them(self, tmp_path: Path, make: Callable[[Path], object]):
        make(tmp_path / "out")
        expected = f"{tmp_path}/out exists already: pass --force to replace it, or choose another --output"
        with pytest.raises(OutputExists, match=f"^{expected}$"):
            refuse_existing(tmp_path / "out", force=False)


def a_file(output: Path) -> None:
    output.write_text("mine")


def a_link_to_an_empty_directory(output: Path) -> None:
    (output.parent / "empty").mkdir()
    output.symlink_to(output.parent / "empty")


def a_link_to_nothing(output: Path) -> None:
    output.symlink_to(output.parent / "nothing")


def someones_files(output: Path) -> None:
    (output / "sub").mkdir(parents=True)
    (output / "sub" / "thesis.txt").write_text("mine")


def folders_alone(output: Path) -> None:
    (output / "sub").mkdir(parents=True)


def a_manifest_of(value: object) -> Callable[[Path], None]:
    def make(output: Path) -> None:
        output.mkdir()
        (output / "manifest.json").write_text(value if isinstance(value, str) else json.dumps(value))

    return make


def a_manifest_that_is_a_directory(output: Path) -> None:
    (output / "manifest.json").mkdir(parents=True)


def a_manifest_that_never_ends(output: Path) -> None:
    output.mkdir()
    os.mkfifo(output / "manifest.json")


def a_bundle_with(name: str) -> Callable[[Path], None]:
    def make(output: Path) -> None:
        (a_bundle(output) / name).parent.mkdir(exist_ok=True)
        (output / name).write_text("mine")

    return make


def a_bundle_with_a_linked_directory(output: Path) -> None:
    a_bundle(output)
    someones_files(output.parent / "elsewhere")
    (output / "config.json").unlink()
    (output / "linked").symlink_to(output.parent / "elsewhere")


NO_BUNDLE = "is not a bundle"


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (a_file, "is not a directory"),
        (a_link_to_an_empty_directory, "is a symbolic link"),
        (a_link_to_nothing, "is a symbolic link"),
        (someones_files, NO_BUNDLE),
        (folders_alone, NO_BUNDLE),
        (a_manifest_of([]), NO_BUNDLE),
        (a_manifest_of({}), NO_BUNDLE),
        (a_manifest_of({"schema": 5}), NO_BUNDLE),
        (a_manifest_of({"files": {}}), NO_BUNDLE),
        (a_manifest_of({"schema": "5", "files": {}}), NO_BUNDLE),
        (a_manifest_of({"schema": True, "files": {}}), NO_BUNDLE),
        (a_manifest_of({"schema": 5.0, "files": {}}), NO_BUNDLE),
        (a_manifest_of({"schema": 5, "files": "manifest.json"}), NO_BUNDLE),
        (a_manifest_of({"schema": 5, "files": None}), NO_BUNDLE),
        (a_manifest_of("{"), NO_BUNDLE),
        (a_manifest_of("[" * 100_000), NO_BUNDLE),
        (a_manifest_of("\udcff".encode("utf-8", "surrogateescape").decode("latin-1")), NO_BUNDLE),
        (a_manifest_that_is_a_directory, NO_BUNDLE),
        (a_manifest_that_never_ends, NO_BUNDLE),
        (a_bundle_with("notes.txt"), "contains notes.txt, which its manifest.json does not list"),
        (a_bundle_with(".git"), "contains .git, which its manifest.json does not list"),
        (a_bundle_with("sub/notes.txt"), "contains sub/notes.txt, which its manifest.json does not list"),
        (a_bundle_with_a_linked_directory, "contains linked, which its manifest.json does not list"),
    ],
)
def test_all_else_is_refused_without_advice_to_force(
    tmp_path: Path, make: Callable[[Path], None], reason: str, force: bool
):
    make(tmp_path / "out")
    before = contents(tmp_path)
    expected = f"{tmp_path}/out exists already and {reason}: choose another --output"
    with pytest.raises(OutputExists, match=f"^{expected}$"):
        refuse_existing(tmp_path / "out", force)
    assert contents(tmp_path) == before


def test_a_mount_point_is_refused():
    assert irreplaceable(Path("/proc")) == "is a mount point"


class TestModelDirectory:
    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        (tmp_path / "models" / "mine").mkdir(parents=True)
        return tmp_path / "models" / "mine"

    @pytest.mark.parametrize(
        ("output", "relation"),
        [
            ("models/mine", "is"),
            ("models/mine/", "is"),
            ("models/../models/mine", "is"),
            ("models", "contains"),
            (".", "contains"),
            ("models/mine/bundle", "is inside"),
            ("models/mine/a/b", "is inside"),
            ("linked", "is"),
            ("linked/bundle", "is inside"),
        ],
    )
    def test_an_output_that_touches_it_is_refused(self, model: Path, tmp_path: Path, output: str, relation: str):
        (tmp_path / "linked").symlink_to(model)
        with pytest.raises(OutputNotAllowed, match=f" {relation} the model's directory: choose another --output$"):
            refuse_model_directory(tmp_path / output, model)

    def test_links_to_the_model_are_followed(self, model: Path, tmp_path: Path):
        (tmp_path / "linked").symlink_to(model)
        with pytest.raises(OutputNotAllowed):
            refuse_model_directory(model, tmp_path / "linked")

    def test_a_home_directory_is_expanded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(OutputNotAllowed):
            refuse_model_directory(tmp_path / "mine", Path("~/mine"))

    @pytest.mark.parametrize("output", ["models/mine-int8", "models/min", "bundles/mine", "mine"])
    def test_an_output_beside_it_is_not(self, model: Path, tmp_path: Path, output: str):
        refuse_model_directory(tmp_path / output, model)
