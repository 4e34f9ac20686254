"""Environments are created anew, with progress, and a failure says what to check."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from build.host.environment import ENVIRONMENTS, PYTORCH, TORCH_LINKS, other_pythons, pip_command
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The module and what it imports, with a list of one package."""
    home = tmp_path / "checkout"
    for name in ("build/__init__.py", "build/command_line.py", "build/errors.py", "build/paths.py", "manifest.py"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, home / name)
    shutil.copytree(ROOT / "build" / "host", home / "build" / "host")
    shutil.copytree(ROOT / "sections", home / "sections")
    (home / "tests").mkdir()
    digest = hashlib.sha256(a_wheel(tmp_path / "wheels").read_bytes()).hexdigest()
    (home / "tests" / "lint-requirements.txt").write_text(f"tiny==1.0 \\\n    --hash=sha256:{digest}\n")
    return home


def a_wheel(directory: Path) -> Path:
    """A package of one module."""
    directory.mkdir()
    files = {
        "tiny.py": "",
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={urlsafe_hash(content)},{len(content)}" for name, content in files.items()]
    files["tiny-1.0.dist-info/RECORD"] = "\n".join([*record, "tiny-1.0.dist-info/RECORD,,"]) + "\n"
    with zipfile.ZipFile(directory / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return directory / "tiny-1.0-py3-none-any.whl"


def urlsafe_hash(content: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()


def start(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", "-m", "build.host.environment", *arguments],
        cwd=checkout,
        env={"PATH": os.defpath, "HOME": str(checkout), "PIP_CONFIG_FILE": os.devnull} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_an_environment_replaces_the_old_one_and_every_step_has_a_line(checkout: Path, tmp_path: Path):
    (checkout / ".venv" / "lint" / "old").mkdir(parents=True)
    result = start(checkout, "lint", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path / "wheels"))
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        "setting up .venv/lint: what make lint runs (about 0.2 GB on disk)",
        "  creating the environment",
        "  installing 1 package of tests/lint-requirements.txt",
    ]
    assert not (checkout / ".venv" / "lint" / "old").exists()
    subprocess.run([checkout / ".venv/lint/bin/python", "-c", "import tiny"], check=True)


def test_without_a_network_what_to_check_is_named(checkout: Path):
    result = start(checkout, "lint", PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES="0")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == (
        "cpu2vec: pip could not install tests/lint-requirements.txt; its messages are above. "
        "Check the network, the proxy (HTTPS_PROXY) and the package index (PIP_INDEX_URL)"
    )


def test_other_names_are_refused(checkout: Path):
    result = start(checkout, "test")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith(
        "error: NAME must be runtime, build, lint, sbom or clients, not 'test'"
    )


class TestPip:
    def test_everything_is_checked_by_hash(self):
        for environment in ENVIRONMENTS.values():
            for name in environment.requirements:
                command = pip_command(Path("env"), name, {TORCH_LINKS: "https://wheels"}, quiet=True)
                assert command[-2:] == ["-r", name]
                assert "--require-hashes" in command
                assert ("--find-links" in command) == (name == PYTORCH)

    @pytest.mark.parametrize("environment", [{}, {TORCH_LINKS: ""}])
    def test_without_links_pip_looks_in_its_own_places(self, environment: dict[str, str]):
        assert "--find-links" not in pip_command(Path("env"), PYTORCH, environment, quiet=True)

    def test_what_serves_is_compiled_and_nothing_else(self):
        for name, environment in ENVIRONMENTS.items():
            commands = [
                pip_command(Path("env"), requirements, {}, quiet=True) for requirements in environment.requirements
            ]
            assert ["--no-compile" in command for command in commands] == [name != "runtime"] * len(commands)

    def test_on_a_terminal_it_shows_its_progress(self):
        assert "--quiet" in pip_command(Path("env"), PYTORCH, {}, quiet=True)
        assert "--quiet" not in pip_command(Path("env"), PYTORCH, {}, quiet=False)

    def test_lists_exist(self):
        for environment in ENVIRONMENTS.values():
            assert all((ROOT / name).is_file() for name in environment.requirements)


def test_an_environment_of_another_python_is_reported(tmp_path: Path):
    for name, version in (("build", "3.11.7"), ("runtime", "3.12.1")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}\n")
    assert other_pythons(tmp_path, "3.12.1") == [
        ".venv/build has Python 3.11.7, and PYTHON is 3.12.1: `make clean` first to change that"
    ]
    assert other_pythons(tmp_path / "none", "3.12.1") == []


def test_the_environment_that_runs_this_is_known_by_its_version():
    assert other_pythons(ROOT / ".venv", re.sub(r" .*", "", sys.version)) == []
