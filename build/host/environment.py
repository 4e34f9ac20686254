"""Creates the project's virtual environments: ``python -m build.host.environment NAME``. Needs no packages."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from build.command_line import Choice, Parser, alternatives, run
from build.errors import SetupIncomplete
from build.paths import ROOT

HOME = ROOT / ".venv"
"""The environments are directories here, each under its name."""

TORCH_LINKS = "TORCH_LINKS"
"""The environment variable that names a page with PyTorch's CPU wheels, where pip is to look for them."""

PYTORCH = "build/torch-requirement.txt"
"""The one list for which pip looks elsewhere: PyTorch's builds for CPUs have a page of their own."""

COMPILED = "requirements.txt"
"""The one list that pip compiles, so that a server starts as fast for a user who may not write there. Of the other
packages, most modules are never imported, and Python compiles those that are."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment: what it is for, what it takes on disk, and the lists of pinned packages in it."""

    contents: str
    disk: str
    requirements: tuple[str, ...]


ENVIRONMENTS = {
    "runtime": Environment("what serves a bundle", "0.2 GB", ("requirements.txt",)),
    "build": Environment(
        "PyTorch for CPUs, and what exports and quantizes a model", "1.9 GB", (PYTORCH, "build/requirements.txt")
    ),
    "lint": Environment("what make lint runs", "0.2 GB", ("tests/lint-requirements.txt",)),
    "sbom": Environment("what make sbom runs", "0.1 GB", ("build/sbom/requirements.txt",)),
    "clients": Environment("clients of others that tests use", "0.3 GB", ("tests/clients-requirements.txt",)),
}


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say; progress goes to standard error."""
    parser = Parser("python -m build.host.environment", "Create a virtual environment of the project.")
    names = Choice({name: name for name in ENVIRONMENTS})
    parser.add_argument("name", type=names, nargs="?", metavar="NAME", help=alternatives(ENVIRONMENTS))
    parser.add_argument("--add", metavar="FILE", help="install this list of packages into it as it is")
    parser.add_argument(
        "--report-python", action="store_true", help="report environments that were created with another Python"
    )
    options = parser.read(arguments)
    if options.report_python:
        for note in other_pythons(HOME, platform.python_version()):
            _say(f"note: {note}")
        return 0
    if options.name is None:
        parser.error("the following arguments are required: NAME")
    return run("cpu2vec", lambda: _create(options.name, options.add), "start again, and it begins from the start")


def _create(name: str, added: str | None) -> int:
    if added:
        _say(f"adding {added} to .venv/{name}")
        install(HOME / name, added)
        return 0
    environment = ENVIRONMENTS[name]
    _say(f"setting up .venv/{name}: {environment.contents} (about {environment.disk} on disk)")
    create(HOME / name, environment.requirements)
    return 0


def create(directory: Path, requirements: Sequence[str]) -> None:
    """Create an environment with this Python, in place of one that is there. Raises ``SetupIncomplete``."""
    if directory.is_symlink():
        directory.unlink()
    shutil.rmtree(directory, ignore_errors=True)
    _say("  creating the environment")
    if subprocess.run([sys.executable, "-m", "venv", directory]).returncode:
        raise SetupIncomplete(f"{sys.executable} could not create an environment; its messages are above")
    for name in requirements:
        install(directory, name)


def install(directory: Path, requirements: str) -> None:
    """Install what a file lists, without dependencies. Raises ``SetupIncomplete``."""
    count = sum("==" in line for line in (ROOT / requirements).read_text().splitlines())
    _say(f"  installing {count} package{'s' if count > 1 else ''} of {requirements}")
    command = pip_command(directory, requirements, os.environ, quiet=not sys.stderr.isatty())
    if subprocess.run(command, cwd=ROOT).returncode:
        raise SetupIncomplete(
            f"pip could not install {requirements}; its messages are above. "
            "Check the network, the proxy (HTTPS_PROXY) and the package index (PIP_INDEX_URL)"
        )


def pip_command(directory: Path, requirements: str, environment: Mapping[str, str], quiet: bool) -> list[str]:
    """The command that installs what a file lists. On a terminal, pip shows its own progress."""
    command = [str(directory / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes"]
    command += ["--quiet"] if quiet else []
    command += ["--no-compile"] if requirements != COMPILED else []
    if requirements == PYTORCH and (links := environment.get(TORCH_LINKS)):
        command += ["--find-links", links]
    return [*command, "-r", requirements]


def other_pythons(home: Path, version: str) -> list[str]:
    """Sentences about the environments below ``home`` that a Python of another version has created."""
    found = {}
    for configuration in sorted(home.glob("*/pyvenv.cfg")):
        settings = dict(line.split(" = ", 1) for line in configuration.read_text().splitlines() if " = " in line)
        found[configuration.parent.name] = settings.get("version", version)
    return [
        f".venv/{name} has Python {other}, and PYTHON is {version}: `make clean` first to change that"
        for name, other in found.items()
        if other != version
    ]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
