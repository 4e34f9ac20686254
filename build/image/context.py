"""Manages the directory in which a local model or a bundle is passed to ``docker build``, for one build."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARENT = ".image-context"
"""Besides the sources, only this directory is part of the build context (.dockerignore)."""


@contextmanager
def build_context(root: Path) -> Iterator[Path]:
    """Yield a new, empty directory below ``root``, and remove it at the end, whatever happened."""
    (root / PARENT).mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=root / PARENT))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def link_files(source: Path, names: list[str], destination: Path) -> None:
    """Hard-link the named files, or copy them to another file system. Symbolic links are followed."""
    for name in names:
        path = destination / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link((source / name).resolve(), path)
        except OSError:
            shutil.copyfile(source / name, path)
