"""Creates the virtual environments that benchmarks need, from pinned requirements."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from bench.commands import Command, run
from build.paths import ROOT

ENVIRONMENTS = ROOT / ".venv"
BUILD_ENVIRONMENT = ENVIRONMENTS / "build"
RUNTIME_ENVIRONMENT = ENVIRONMENTS / "runtime"
OPENVINO_ENVIRONMENT = ENVIRONMENTS / "openvino"

MARKER = ".ready"
LINKS_VARIABLE = "TORCH_LINKS"
"""This variable names a page with PyTorch's CPU wheels, which pip searches as well; `make bench` sets it."""


def python_in(environment: Path) -> Path:
    return environment / "bin" / "python"


def ensure_environment(folder: Path, requirements: Path, torch_requirement: Path | None = None) -> None:
    """Install ``requirements``, which are pinned by hash, and PyTorch for the CPU before them if it is required.

    An environment whose pins have not changed is kept. Raises ``SetupFailed``.
    """
    torch_pin = torch_requirement.read_bytes() if torch_requirement else b""
    pins = hashlib.sha256(torch_pin + requirements.read_bytes()).hexdigest()
    marker = folder / MARKER
    if marker.is_file() and marker.read_text() == pins:
        return
    if folder.exists():
        shutil.rmtree(folder)
    failure = f"the environment {folder.name} cannot be created (run `make bench`, which sets {LINKS_VARIABLE})"
    pip: Command = [python_in(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    links = os.environ.get(LINKS_VARIABLE)
    run([sys.executable, "-m", "venv", folder], failure)
    if torch_requirement:
        run([*pip, *(["--find-links", links] if links else []), "-r", torch_requirement], failure)
    run([*pip, "--require-hashes", "-r", requirements], failure)
    marker.write_text(pins)
