"""Makes a virtual environment from pinned requirements, once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.errors import SetupFailed

MARKER = ".ready"
LINKS_VARIABLE = "TORCH_LINKS"
"""Where pip finds PyTorch's CPU wheels besides its own places; `make bench` sets it."""


def ensure_environment(folder: Path, requirements: Path, torch_requirement: Path | None = None) -> None:
    """PyTorch for the CPU first, if wanted, then what ``requirements`` pins by hash. Made anew when a pin changed.

    Raises ``SetupFailed``.
    """
    torch_pin = torch_requirement.read_bytes() if torch_requirement else b""
    pins = hashlib.sha256(torch_pin + requirements.read_bytes()).hexdigest()
    marker = folder / MARKER
    if marker.is_file() and marker.read_text() == pins:
        return
    if folder.exists():
        shutil.rmtree(folder)
    install: list[str | Path] = [
        folder / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
    ]
    links = os.environ.get(LINKS_VARIABLE)
    _run([sys.executable, "-m", "venv", folder])
    if torch_requirement:
        _run([*install, *(["--find-links", links] if links else []), "-r", torch_requirement])
    _run([*install, "--require-hashes", "-r", requirements])
    marker.write_text(pins)


def _run(command: Sequence[str | Path]) -> None:
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        raise SetupFailed(f"an environment cannot be made ({error}): start it with `make bench`") from None
