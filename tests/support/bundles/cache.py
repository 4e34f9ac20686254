"""What is expensive to build: made once for all test processes, and kept until the sources change."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.paths import ROOT

HOME = ROOT / ".pytest_cache" / "bundles"
"""One folder for each state of the sources. Removed by removing it."""

SOURCES = (
    "build",
    "kernels/programs",
    "kernels/src",
    "manifest.py",
    "requirements.in",
    "requirements.txt",
    "runtime",
    "sections",
    "tests/support",
    "VERSION",
)
"""What a bundle or a compiled program depends on."""

KEPT_STATES = 2
"""Folders of older states are removed."""


def cached(name: str, make: Callable[[Path], object]) -> Path:
    """The directory ``name``, which ``make`` has created. Tests must not write to it."""
    state = HOME / state_of_the_sources()
    directory = state / name
    with _locked(name):
        if not directory.is_dir():
            _prune()
            unfinished = state / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            state.mkdir(parents=True, exist_ok=True)
            make(unfinished)
            unfinished.rename(directory)
    return directory


@functools.cache
def state_of_the_sources() -> str:
    """A hash over the names and contents of the sources, as they are in the working tree."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *SOURCES]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    digest = hashlib.sha256()
    for name in sorted(listed):
        if (ROOT / name).is_file():
            digest.update(f"{hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()[:16]


def _prune() -> None:
    states = sorted((path for path in HOME.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for state in states[: -KEPT_STATES + 1]:
        shutil.rmtree(state, ignore_errors=True)


@contextmanager
def _locked(name: str) -> Iterator[None]:
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
