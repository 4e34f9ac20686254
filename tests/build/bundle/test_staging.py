"""Bundles are complete under their names at the end of a build, or none of them is there."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from build.bundle.staging import staged_output, staging_dir
from build.errors import OutputExists
from tests.support.json_files import write


def fill(directory: Path, text: str) -> None:
    """Make what counts as a bundle, told apart by its text."""
    directory.mkdir(exist_ok=True)
    write(directory / "manifest.json", {"schema": 1, "files": ["text"]})
    (directory / "text").write_text(text)


def texts(home: Path) -> dict[str, str]:
    """All that a directory holds: names of bundles and their texts."""
    return {path.name: (path / "text").read_text() for path in home.iterdir()}


@pytest.fixture
def outputs(tmp_path: Path) -> list[Path]:
    return [tmp_path / "one", tmp_path / "two", tmp_path / "three"]


def build(outputs: list[Path], force: bool = False, finish: Callable[[], object] = lambda: None) -> None:
    first, *extra = outputs
    with staged_output(first, force, extra) as staging:
        (staging.work / "left over").write_text("")
        for directory in (staging.bundle, *staging.extra):
            fill(directory, "new")
        finish()


def test_all_outputs_appear_together(outputs: list[Path], tmp_path: Path):
    before: list[bool] = []
    build(outputs, finish=lambda: before.extend(output.exists() for output in outputs))
    assert before == [False, False, False]
    assert texts(tmp_path) == {"one": "new", "two": "new", "three": "new"}


def test_outputs_in_directories_that_do_not_exist_yet(tmp_path: Path):
    build([tmp_path / "a" / "one", tmp_path / "b" / "c" / "two"])
    assert texts(tmp_path / "a") | texts(tmp_path / "b" / "c") == {"one": "new", "two": "new"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there_and_nothing_else(
    outputs: list[Path], tmp_path: Path, error: type[BaseException]
):
    def fail() -> None:
        raise error

    fill(outputs[1], "old")
    with pytest.raises(error):
        build(outputs, force=True, finish=fail)
    assert texts(tmp_path) == {"two": "old"}


@pytest.mark.parametrize("moves", range(5))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_failure_between_renames_undoes_them_all(
    outputs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int, after: bool
):
    """Two outputs exist already, so that five renames make three bundles appear."""
    fill(outputs[0], "old")
    fill(outputs[2], "old")
    rename, count = Path.rename, iter(range(100))

    def interrupted(source: Path, destination: Path) -> Path:
        if next(count) != moves:
            return rename(source, destination)
        if after:
            rename(source, destination)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(outputs, force=True)
    assert texts(tmp_path) == {"one": "old", "three": "old"}


def test_force_replaces_all_outputs(outputs: list[Path], tmp_path: Path):
    for output in outputs[:2]:
        fill(output, "old")
    build(outputs, force=True)
    assert texts(tmp_path) == {"one": "new", "two": "new", "three": "new"}


def test_an_extra_output_that_exists_is_refused_before_any_work(outputs: list[Path], tmp_path: Path):
    fill(outputs[2], "old")
    with pytest.raises(OutputExists, match="three exists already: pass --force"):
        build(outputs)
    assert texts(tmp_path) == {"three": "old"}


@pytest.mark.parametrize("force", [False, True])
def test_what_appears_under_an_outputs_name_during_the_build_is_kept(outputs: list[Path], tmp_path: Path, force: bool):
    def appear() -> None:
        outputs[1].mkdir()
        (outputs[1] / "text").write_text("mine")

    with pytest.raises(OutputExists, match="two exists already"):
        build(outputs, force, finish=appear)
    assert texts(tmp_path) == {"two": "mine"}


def test_what_a_killed_build_left_is_removed(outputs: list[Path], tmp_path: Path):
    for output in outputs:
        (staging_dir(output) / "bundle" / "old").mkdir(parents=True)
    build(outputs)
    assert texts(tmp_path) == {"one": "new", "two": "new", "three": "new"}


def test_an_output_that_a_killed_build_had_moved_away_is_given_back(outputs: list[Path], tmp_path: Path):
    staging_dir(outputs[0]).mkdir()
    fill(staging_dir(outputs[0]) / "replaced", "old")
    with pytest.raises(OutputExists):
        build(outputs)
    assert texts(tmp_path) == {"one": "old"}


def test_an_output_is_known_by_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever its name is spelled like."""
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    build([Path("linked/sub/../one"), Path("real/two")])
    assert texts(tmp_path / "real") == {"one": "new", "two": "new"}


def test_an_error_that_is_not_about_the_disk_is_passed_on(outputs: list[Path], tmp_path: Path):
    with pytest.raises(OSError, match="made up"), staged_output(outputs[0], False):
        raise OSError(errno.ENOSPC, "made up")
    assert texts(tmp_path) == {}


def test_only_named_graphs_and_their_weights_survive_a_stage(outputs: list[Path]):
    with staged_output(outputs[0], False) as staging:
        (staging.work / "sub").mkdir()
        for name in ("model.onnx", "model.onnx.data", "other.onnx", "sub/model.onnx"):
            (staging.work / name).write_text("")
        staging.discard_except([staging.work / "model.onnx"])
        left = sorted(path.relative_to(staging.work).as_posix() for path in staging.work.rglob("*.onnx*"))
        fill(staging.bundle, "new")
    assert left == ["model.onnx", "model.onnx.data"]
