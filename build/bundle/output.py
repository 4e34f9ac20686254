"""Decides where a bundle may be written: what --force may replace, and what stays as it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from build.errors import OutputExists, OutputNotAllowed
from manifest import MANIFEST_FILE


def refuse_existing(output: Path, force: bool) -> None:
    """Raise ``OutputExists`` for an output that is there, unless ``force`` is set and it can be replaced.

    An empty directory can be replaced, and so can a bundle of any schema that holds nothing but its own files.
    """
    if not os.path.lexists(output):
        return
    if reason := irreplaceable(output):
        raise OutputExists(f"{output} exists already and {reason}: choose another --output")
    if not force:
        raise OutputExists(f"{output} exists already: pass --force to replace it, or choose another --output")


def refuse_model_directory(output: Path, model: Path) -> None:
    """Raise ``OutputNotAllowed`` for an output that is the model's directory, contains it or is inside it."""
    written, read = Path(os.path.realpath(output)), Path(os.path.realpath(model.expanduser()))
    if written == read:
        relation = "is"
    elif written in read.parents:
        relation = "contains"
    elif read in written.parents:
        relation = "is inside"
    else:
        return
    raise OutputNotAllowed(f"{output} {relation} the model's directory: choose another --output")


def irreplaceable(output: Path) -> str | None:
    """Return why an output that exists must not be replaced, in words that follow its name."""
    if output.is_symlink():
        return "is a symbolic link"
    if not output.is_dir():
        return "is not a directory"
    if output.is_mount():
        return "is a mount point"
    try:
        if not any(output.iterdir()):
            return None
        listed = _listed_files(output)
        if listed is None:
            return "is not a bundle"
        foreign = next((name for name in _files_below(output) if name not in listed), None)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return f"contains {foreign}, which its {MANIFEST_FILE} does not list" if foreign else None


def _listed_files(directory: Path) -> set[str] | None:
    """The manifest and the files that it lists; None where the directory has no manifest of a bundle."""
    if not (directory / MANIFEST_FILE).is_file():
        return None
    try:
        manifest: Any = json.loads((directory / MANIFEST_FILE).read_bytes())
    except (ValueError, RecursionError):
        return None
    if not isinstance(manifest, dict) or type(manifest.get("schema")) is not int:
        return None
    files = manifest.get("files")
    return {MANIFEST_FILE, *map(str, files)} if isinstance(files, dict | list) else None


def _files_below(directory: Path) -> Iterator[str]:
    """Relative names of whatever a directory holds besides directories. Raises ``OSError``."""
    for entry in sorted(directory.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            yield from (f"{entry.name}/{name}" for name in _files_below(entry))
        else:
            yield entry.name
