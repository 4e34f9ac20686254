"""Owns the directory that carries a local model or a bundle into ``docker build``: filled for one build, then gone."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARENT = ".image-context"
"""The only place besides the sources that .dockerignore lets through."""


@contextmanager
def build_context(root: Path) -> Iterator[Path]:
    """Yield an empty directory below ``root``, another for every build; remove it at the end, whatever happened."""
    (root / PARENT).mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(dir=root / PARENT))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def link_files(source: Path, names: list[str], destination: Path) -> None:
    """Hard links to the named files, or copies on another file system; symbolic links are followed."""
    for name in names:
        path = destination / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link((source / name).resolve(), path)
        except OSError:
            shutil.copyfile(source / name, path)
