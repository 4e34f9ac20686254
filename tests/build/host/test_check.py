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

from build.host import check as host_check

VersionInfo = namedtuple("VersionInfo", ["major", "minor", "micro", "releaselevel", "serial"])


def pretend(monkeypatch: pytest.MonkeyPatch, system: str, machine: str, version: tuple[int, int]) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "python_version", lambda: f"{version[0]}.{version[1]}.9")
    monkeypatch.setattr(sys, "version_info", VersionInfo(*version, 9, "final", 0))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_supported_machines_have_no_problem(monkeypatch: pytest.MonkeyPatch, machine: str, version: tuple[int, int]):
    pretend(monkeypatch, "Linux", machine, version)
    assert host_check.problem() is None


@pytest.mark.parametrize("version", [(3, 8), (3, 10), (3, 14), (4, 0)])
def test_another_python_is_told_how_to_name_one(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int]):
    pretend(monkeypatch, "Linux", "x86_64", version)
    assert f"is {version[0]}.{version[1]}.9: pass PYTHON=/path/to/python3.11" in host_check.problem()


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Windows", "AMD64"), ("Linux", "riscv64")])
def test_another_machine_is_told_what_it_is(monkeypatch: pytest.MonkeyPatch, system: str, machine: str):
    pretend(monkeypatch, system, machine, (3, 11))
    assert host_check.problem() == f"this needs Linux on x86_64 or aarch64, and this is {system} on {machine}"


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_that_makes_no_environments_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, missing: str):
    real = builtins.__import__

    def refuse(name, *rest):
        if name == missing:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    pretend(monkeypatch, "Linux", "x86_64", (3, 11))
    assert "has no venv module: install it (Debian: apt-get install python3-venv)" in host_check.problem()
    assert host_check.problem(with_environments=False) is None


def test_as_a_program_it_ends_with_the_sentence_or_in_silence(monkeypatch: pytest.MonkeyPatch):
    path = Path(host_check.__file__)
    pretend(monkeypatch, "Linux", "x86_64", (3, 11))
    runpy.run_path(str(path), run_name="__main__")
    pretend(monkeypatch, "Plan9", "x86_64", (3, 11))
    with pytest.raises(SystemExit, match="cpu2vec: this needs Linux"):
        runpy.run_path(str(path), run_name="__main__")


def test_its_syntax_is_that_of_the_oldest_python_3():
    """Else an old Python would show a syntax error in place of the sentence."""
    ast.parse(Path(host_check.__file__).read_text(), feature_version=(3, 4))
