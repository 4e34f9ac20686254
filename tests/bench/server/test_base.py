"""Another checkout's server as a row: a small copy of this checkout, with its own quantize.py and its own runtime."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.environment import ENVIRONMENTS, RUNTIME_ENVIRONMENT
from bench.errors import SetupFailed
from bench.load.loads import Group, loads_in
from bench.original import reference_vectors
from bench.server.base import BUNDLES, base_system
from bench.server.fidelity import vectors_by
from bench.server.measurement import measure
from bench.server.report import render
from bench.server.results import Settings
from bench.server.runtime import serve_bundle
from bench.server.system import BASE, CPU2VEC, System
from bench.text.loads import TEXT_LOADS
from build.host.machine import host_target
from build.kernels import ensure
from build.model.files import ModelFiles
from manifest import Precision, Source, SourceKind
from tests.support.models import tiny_models
from tests.support.models.tiny_description import TinyModel
from tests.support.paths import ROOT

LEFT_OUT = (".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "objects-*", "tests", "docs", "bench", "bundles")
"""What the two programs do not need is not in the copy, which stays small."""

MARK = '\n\nimport pathlib\n\npathlib.Path("SERVED").touch()\n'
"""Appended to a module of the checkout's runtime, so that it shows which runtime served."""

KEPT = loads_in(TEXT_LOADS, {Group.KEPT})

ORIGINAL = vectors_by(reference_vectors, lambda: ["a text", "and another one"])

TINY = TinyModel("base", "bert", "bert", "BertModel", pooling="mean", normalize=True)


def git(checkout: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", checkout, *arguments], check=True, capture_output=True)


def files_below(directory: Path) -> dict[str, bytes]:
    paths = [path for path in directory.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    ensure(host_target())
    directory = Path(shutil.copytree(ROOT, tmp_path / "older", ignore=shutil.ignore_patterns(*LEFT_OUT)))
    git(directory, "init", "--quiet")
    git(directory, "add", ".")
    return directory


def test_its_own_programs_build_and_serve_beside_this_checkouts(checkout: Path, tmp_path: Path):
    with (checkout / "runtime" / "__init__.py").open("a") as module:
        module.write(MARK)
    before = files_below(checkout)
    base = base_system(checkout, copy := tmp_path / "copy", Precision.INT8)
    own = System(
        name=CPU2VEC,
        about="this checkout's runtime on the same bundle",
        environment=RUNTIME_ENVIRONMENT,
        packages=("falcon",),
        prepare=lambda model: (copy / "SERVED").unlink(),  # by the base's build, which checks what it built
        launch=lambda model, port: serve_bundle(RUNTIME_ENVIRONMENT, next((copy / BUNDLES).iterdir()), port),
    )
    directory = tiny_models.make(TINY)
    model = ModelFiles(str(directory), Source(SourceKind.DIRECTORY, "sha256:0"), directory)
    log: list[str] = []
    settings = Settings(rounds=2, seconds=0.05, starts=1, idle_seconds=0.05)
    results = measure([base, own], model, KEPT, ORIGINAL, settings, log.append)

    assert [system.name for system in results.systems] == [BASE, CPU2VEC]
    assert results.baseline == BASE
    base_result, own_result = results.systems
    assert base_result.fidelity == own_result.fidelity, "the same bundle"
    assert base_result.fidelity.cosine.minimum > 0.99
    assert base_result.versions.keys() > {"falcon", "onnxruntime"}
    loads = [line.split() for line in log if "requests/s" in line]
    first_load = [words[-8] for words in loads if words[2:4] == ["6–20", "words,"] and words[4] == "1"]
    assert first_load == [BASE, CPU2VEC, CPU2VEC, BASE], "each round starts with another system"
    assert "cpu2vec beside base" in render(results)
    assert (copy / "SERVED").exists()
    assert not (ROOT / "SERVED").exists()
    assert files_below(checkout) == before, "the checkout is not written to"


def test_a_bundle_that_cannot_be_built_is_one_line(checkout: Path, tmp_path: Path):
    (checkout / "quantize.py").write_text("import sys\nprint('stage 1')\nsys.exit('quantize.py: no such model')\n")
    base = base_system(checkout, tmp_path / "copy", Precision.INT8)
    model = ModelFiles("some/model", Source(SourceKind.DIRECTORY, "sha256:0"), tmp_path)
    with pytest.raises(SetupFailed, match=r"^base: the bundle cannot be built: quantize\.py: no such model$"):
        measure([base], model, KEPT, ORIGINAL, Settings(1, 0.1, 1, 0.1), lambda line: None)


def test_what_git_does_not_ignore_is_copied_as_it_is_now(checkout: Path, tmp_path: Path):
    (checkout / "manifest.py").write_text("changed\n")
    (checkout / "runtime" / "new.py").write_text("untracked\n")
    (checkout / "runtime" / "bundle.py").unlink()
    (checkout / "bundles").mkdir()
    (checkout / "bundles" / "large").touch()
    (checkout / ".venv").symlink_to(tmp_path)  # git's pattern for environments matches directories alone
    copy = tmp_path / "copy"
    base_system(checkout, copy, Precision.INT8)
    assert (copy / "manifest.py").read_text() == "changed\n"
    assert (copy / "runtime" / "new.py").read_text() == "untracked\n"
    assert not (copy / "runtime" / "bundle.py").exists()
    assert not (copy / "bundles").exists()
    assert list((copy / "kernels" / "lib").glob("libcpu2vec-*.so")), "compiled kernels save time"


def test_its_own_environments_are_used_where_it_has_them(checkout: Path, tmp_path: Path):
    python = checkout / ".venv" / "runtime" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    base_system(checkout, copy := tmp_path / "copy", Precision.INT8)
    assert (copy / ".venv" / "runtime").readlink() == checkout / ".venv" / "runtime"
    assert (copy / ".venv" / "build").readlink() == ENVIRONMENTS / "build"


@pytest.mark.parametrize("name", ["quantize.py", "manifest.py", "runtime/__main__.py"])
def test_a_directory_that_lacks_a_program_is_no_checkout(checkout: Path, tmp_path: Path, name: str):
    (checkout / name).unlink()
    with pytest.raises(SetupFailed, match=rf"^BASE must be a checkout of this project, not .*: it has no {name}$"):
        base_system(checkout, tmp_path / "copy", Precision.INT8)


def test_a_checkout_without_git_is_refused(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.rmtree(checkout / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(SetupFailed, match=r"BASE must be a checkout of this project, not .*: .*not a git repository"):
        base_system(checkout, tmp_path / "copy", Precision.INT8)


def test_the_command_reports_a_base_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    missing = tmp_path / "no `touch` $(touch)"
    assert main(["--base", str(missing)]) == 1
    expected = f"bench: BASE must be a checkout of this project, not {missing}: there is no such directory"
    assert capsys.readouterr().err.splitlines() == [expected]


def test_make_passes_base_on_as_it_is(tmp_path: Path):
    base = f"{tmp_path}/$(shell touch a) $(touch b) `touch c` '; touch d; \"$HOME$$"
    command = ["make", "--old-file", "setup", "bench", f"BASE={base}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert f"bench: BASE must be a checkout of this project, not {base}: there is no such directory" in ran.stderr
    assert not [name for name in "abcd" if (ROOT / name).exists()]


def test_an_empty_base_is_none(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--base", "", "--rounds", "0"])
    assert "--rounds" in capsys.readouterr().err
