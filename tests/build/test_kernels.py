"""When the native kernels are compiled: only if the library is missing or made from something else, and only once."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from build import kernels
from build.errors import CompilerFailed
from manifest import Target
from runtime.host.cpu import host_target
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

HOST = host_target()
TARGET, OTHER = Target.AMD64, Target.ARM64
ANNOUNCEMENT = "compiling the native kernels (about 15 s)\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose kernels are one function for each source file, so that they compile at once."""
    write_sources(tmp_path)
    monkeypatch.setattr(kernels, "ROOT", tmp_path)
    monkeypatch.setattr(kernels, "LIBRARIES", tmp_path / "kernels" / "lib")
    return tmp_path


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the directory of libraries after the first call."""
    home = tmp_path_factory.mktemp("compiled")
    write_sources(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "ROOT", home)
        patch.setattr(kernels, "LIBRARIES", home / "kernels" / "lib")
        kernels.ensure(TARGET)
    return home / "kernels" / "lib"


@pytest.fixture
def compiled(checkout: Path, library: Path) -> Path:
    """The project after the first call."""
    shutil.copytree(library, checkout / "kernels" / "lib")
    return checkout


def write_sources(home: Path) -> None:
    sources = home / "kernels" / "src"
    sources.mkdir(parents=True)
    (sources / "exports.map").write_text("{ local: *; };\n")
    isas = [f"isa_{name}" for architecture in kernels.ARCHITECTURES.values() for name in architecture.isas]
    for unit in (*kernels.PLAIN, "ort_ops", *isas):
        (sources / f"{unit}.cpp").write_text(f'extern "C" int {unit}() {{ return 1; }}\n')
    shutil.copy(ROOT / "requirements.in", home)


def identity(target: Target = TARGET) -> list[tuple[int, int]]:
    """What differs after every compilation, even to the same bytes: inodes and times of the library and its stamp."""
    found = [path.stat() for path in (kernels.library(target), kernels.stamp(target))]
    return [(status.st_ino, status.st_mtime_ns) for status in found]


def change(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_the_first_call_compiles_and_the_next_is_silent(checkout: Path, capsys: pytest.CaptureFixture[str]):
    assert kernels.ensure(TARGET) == checkout / "kernels/lib/libcpu2vec-amd64.so"
    assert kernels.library(TARGET).read_bytes()[:4] == b"\x7fELF"
    assert capsys.readouterr() == ("", ANNOUNCEMENT)
    before = identity()
    assert kernels.ensure(TARGET) == kernels.library(TARGET)
    assert identity() == before
    assert capsys.readouterr() == ("", "")


def test_each_architecture_has_its_own_library(compiled: Path):
    before = identity()
    kernels.ensure(OTHER)
    assert identity() == before
    assert kernels.stamp(TARGET).read_bytes() != kernels.stamp(OTHER).read_bytes()


def test_dates_of_sources_do_not_count(compiled: Path):
    before = identity()
    for path in (compiled / "kernels/src").iterdir():
        os.utime(path)
    kernels.ensure(TARGET)
    assert identity() == before


def edited_source(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(checkout / "kernels/src/scalar.cpp", "// another one\n")


def new_header(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "kernels/src/new.h").write_text("")


def other_flags(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "COMMON", (*kernels.COMMON, "-DANOTHER"))


def other_link_flags(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "LINK", (*kernels.LINK, "-Wl,-O1"))


def other_onnxruntime(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (checkout / "requirements.in").write_text("onnxruntime==9.9.9\n")


def other_compiler(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "COMPILER_PACKAGE", "pip")  # of another version


def missing_library(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.library(TARGET).rename(checkout / "moved.so")


def missing_stamp(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.stamp(TARGET).rename(checkout / "moved")


def damaged_stamp(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels.stamp(TARGET).write_bytes(b"\xff")


@pytest.mark.parametrize(
    "changed",
    [
        edited_source,
        new_header,
        other_flags,
        other_link_flags,
        other_onnxruntime,
        other_compiler,
        missing_library,
        missing_stamp,
        damaged_stamp,
    ],
)
def test_what_changes_the_library_compiles_it_once(
    compiled: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: Callable[[Path, pytest.MonkeyPatch], None],
):
    kernels.ensure(TARGET)
    assert capsys.readouterr() == ("", "")
    before = identity()
    changed(compiled, monkeypatch)
    kernels.ensure(TARGET)
    after = identity()
    assert after[0] != before[0]
    kernels.ensure(TARGET)
    assert identity() == after
    assert capsys.readouterr().err == ANNOUNCEMENT


def test_compiling_always_leaves_a_current_library(checkout: Path):
    kernels.build(TARGET)
    before = identity()
    kernels.ensure(TARGET)
    assert identity() == before
    kernels.build(TARGET)
    assert identity()[0] != before[0]


def test_sources_that_do_not_compile_leave_the_old_library_and_are_tried_again(compiled: Path):
    before, source = identity(), compiled / "kernels/src/ops.cpp"
    correct = source.read_text()
    change(source, "#error broken\n")
    for _ in range(2):
        with pytest.raises(CompilerFailed, match="the kernels do not compile"):
            kernels.ensure(TARGET)
        assert kernels.library(TARGET).stat().st_ino == before[0][0]
        assert not kernels.stamp(TARGET).exists()
    source.write_text(correct)
    kernels.ensure(TARGET)
    assert identity()[0] != before[0]


def test_without_the_compilers_package(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kernels, "COMPILER_PACKAGE", "no-such-package")
    with pytest.raises(CompilerFailed, match="no-such-package is missing: it compiles the kernels"):
        kernels.ensure(TARGET)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_open(process: subprocess.Popen[str], path: Path) -> bool:
    """Whether a process has a file open; False while it starts."""
    links = list(Path(f"/proc/{process.pid}/fd").iterdir())
    return any(link.is_symlink() and Path(os.path.realpath(link)) == path for link in links)


def program_in(checkout: Path) -> list[str]:
    """The compiling program, from the files that it consists of."""
    for name in ("manifest.py", *(f"build/{name}.py" for name in ("__init__", "command_line", "errors", "kernels"))):
        (checkout / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    shutil.copytree(ROOT / "sections", checkout / "sections")
    return [sys.executable, "-m", "build.kernels"]


@pytest.mark.parametrize(
    ("arguments", "source", "status", "line"),
    [
        (["--arch=foo"], "", 2, "make kernels: ARCH must be amd64 or arm64, not 'foo'"),
        (["--arch=x86_64"], "#error broken\n", 1, "make kernels: the kernels do not compile: 1 error generated."),
    ],
)
def test_a_failure_of_make_kernels_ends_with_its_reason(
    checkout: Path, arguments: list[str], source: str, status: int, line: str
):
    (checkout / "kernels/src/ops.cpp").write_text(source)
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "MAKE_TARGET": "kernels"}
    command = [*program_in(checkout), *arguments]
    ran = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr.splitlines()[-1]) == (status, "", line)


def test_of_two_processes_at_once_one_compiles_and_the_other_waits(checkout: Path):
    command = [*program_in(checkout), "--arch", TARGET, "--if-needed"]
    lock = checkout / "kernels/lib/lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        processes = [
            subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        # Both have seen that there is no library.
        wait_until(lambda: all(has_open(process, lock) for process in processes))
    printed = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(printed) == [("", ""), ("", ANNOUNCEMENT)]
    assert kernels.is_current(TARGET)


@pytest.mark.parametrize("goal", ["setup", "serve", "test", "test-system", "bench", "bench-fidelity"])
def test_make_has_the_library_for_this_machine_before_anything_needs_it(goal: str):
    """Whatever architecture a bundle is for."""
    (other,) = set(Target) - {HOST}
    planned = subprocess.run(
        ["make", "--dry-run", goal, f"ARCH={other}"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    (made,) = [number for number, line in enumerate(planned) if "build.kernels" in line]
    assert planned[made].endswith(f"-m build.kernels --arch {HOST} --if-needed")
    needing = [
        number
        for number, line in enumerate(planned)
        if "-m build.make_bundle" in line or "-m bench" in line or "-m pytest" in line
    ]
    assert all(made < number for number in needing)


def test_make_clean_removes_it():
    command = ["make", "--dry-run", "clean"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "kernels/lib" in planned.split()
