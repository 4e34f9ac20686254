"""Why a machine cannot run the project, in one line, before anything is installed."""

from __future__ import annotations

import ast
import builtins
import platform
import runpy
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from build.host import check
from tests.support.paths import ROOT

VersionInfo = namedtuple("VersionInfo", ["major", "minor", "micro", "releaselevel", "serial"])
GET_PYTHON = 'run `uv python install 3.13`, then make with PYTHON="$(uv python find 3.13)"'


def pretend(monkeypatch: pytest.MonkeyPatch, system: str, machine: str, version: tuple[int, int]) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "python_version", lambda: f"{version[0]}.{version[1]}.9")
    monkeypatch.setattr(sys, "version_info", VersionInfo(*version, 9, "final", 0))
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")


class TestImage:
    """Docker does all that depends on the machine."""

    @pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13), (3, 14)])
    @pytest.mark.parametrize(("system", "machine"), [("Linux", "x86_64"), ("Darwin", "arm64"), ("Windows", "AMD64")])
    def test_any_machine_will_do(self, monkeypatch, system: str, machine: str, version: tuple[int, int]):
        pretend(monkeypatch, system, machine, version)
        assert check.python_problem() is None

    @pytest.mark.parametrize("version", [(3, 8), (3, 10), (4, 0)])
    def test_an_old_python_is_reported_with_how_to_get_one(self, monkeypatch, version: tuple[int, int]):
        pretend(monkeypatch, "Darwin", "arm64", version)
        found = f"{version[0]}.{version[1]}.9 (/usr/bin/python3)"
        assert check.python_problem() == f"Python must be 3.11 or newer, not {found}: {GET_PYTHON}"


class TestEnvironments:
    @pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
    @pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
    def test_supported_machines_have_no_problem(self, monkeypatch, machine: str, version: tuple[int, int]):
        pretend(monkeypatch, "Linux", machine, version)
        assert check.environment_problem() is None

    @pytest.mark.parametrize("version", [(3, 8), (3, 10), (3, 14), (4, 0)])
    def test_another_python_is_reported_with_how_to_get_one(self, monkeypatch, version: tuple[int, int]):
        pretend(monkeypatch, "Linux", "x86_64", version)
        wanted = "3.11, 3.12 or 3.13, for which the pinned packages have wheels"
        found = f"{version[0]}.{version[1]}.9 (/usr/bin/python3)"
        assert check.environment_problem() == f"Python must be {wanted}, not {found}: {GET_PYTHON}"

    @pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "riscv64")])
    def test_another_machine_is_reported_with_what_works_there(self, monkeypatch, system: str, machine: str):
        pretend(monkeypatch, system, machine, (3, 11))
        assert check.environment_problem() == (
            f"bundles are built and served on Linux on x86_64 or aarch64, not {system} on {machine}; "
            "`make image` needs nothing but Docker and Python"
        )

    @pytest.mark.parametrize("missing", ["venv", "ensurepip"])
    def test_a_python_that_makes_no_environments_is_told_what_to_install(self, monkeypatch, missing: str):
        real = builtins.__import__

        def refuse(name, *rest):
            if name == missing:
                raise ImportError(name)
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", refuse)
        pretend(monkeypatch, "Linux", "x86_64", (3, 11))
        assert check.environment_problem() == (
            "/usr/bin/python3 has no venv module: install it (Debian: apt-get install python3-venv)"
        )
        assert check.python_problem() is None


def test_as_a_program_it_ends_with_the_sentence_or_in_silence(monkeypatch: pytest.MonkeyPatch):
    path = str(check.__file__)
    monkeypatch.setattr(sys, "argv", [path])
    pretend(monkeypatch, "Linux", "x86_64", (3, 11))
    runpy.run_path(path, run_name="__main__")
    pretend(monkeypatch, "Plan9", "x86_64", (3, 11))
    with pytest.raises(SystemExit, match="^cpu2vec: bundles are built and served on Linux"):
        runpy.run_path(path, run_name="__main__")
    monkeypatch.setattr(sys, "argv", [path, "--for-image"])
    runpy.run_path(path, run_name="__main__")
    pretend(monkeypatch, "Linux", "x86_64", (3, 10))
    with pytest.raises(SystemExit, match=r"^cpu2vec: Python must be 3\.11 or newer, not 3\.10"):
        runpy.run_path(path, run_name="__main__")


@pytest.mark.parametrize("name", ["quantize.py", "build/__init__.py", "build/host/__init__.py", "build/host/check.py"])
def test_its_syntax_is_that_of_the_oldest_python_3(name: str):
    """An old Python shows the sentence instead of a syntax error."""
    ast.parse(Path(ROOT / name).read_text(), feature_version=(3, 4))
