"""Turns what the user calls MODEL, a directory or an id on the hub, into the model's files on disk."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from build.errors import InvalidOption, ModelNotFound, UnsupportedModel
from build.model.default_model import fetch_from_package, is_default_model
from build.model.files import (
    CONFIG,
    MODULES,
    SENTENCE_CONFIG,
    ModelFiles,
    config_files,
    content_hash,
    files_below,
    refuse_outside,
    refuse_pointers,
    refuse_shards_elsewhere,
    wanted_files,
)
from build.model.hub_cache import pinned_cache
from build.model.json_files import read_object
from build.model.open_clip import refuse_open_clip
from build.model.trust import Trust
from build.names import ModelNames
from manifest import MANIFEST_FILE, Source, SourceKind


def fetch(model: str, revision: str | None, trust: Trust) -> ModelFiles:
    """Find the model's files: in a directory, in the default model's package, or on the hub.

    The default model comes from the hub where a revision of it is requested. Raises ``ModelNotFound``,
    ``UnsupportedModel`` where files are not where they seem to be, ``InvalidOption`` for a revision of what has none,
    and what ``fetch_from_hub`` and ``fetch_from_package`` raise.
    """
    refuse_revision(model, revision)
    files = _fetch(model, revision, trust)
    refuse_shards_elsewhere(files.directory, files_below(files.directory))
    return _with_code(files, trust.code_revision) if trust.remote_code else files


def fetch_models(names: ModelNames, trust: Trust) -> ModelFiles:
    """The same for one model, or for one of texts and one of images. The latter brings no code.

    Raises ``InvalidOption`` also for a revision of images that have no model of their own.
    """
    refuse_revisions(names)
    files = fetch(names.model, names.revision, trust)
    if names.image_model is None:
        return files
    of_images = fetch(names.image_model, names.image_revision, replace(trust, remote_code=False, code_revision=None))
    return replace(files, of_images=of_images)


def refuse_revisions(names: ModelNames) -> None:
    """Raise ``InvalidOption`` for a revision of a model on this machine, or of no model."""
    refuse_revision(names.model, names.revision)
    if names.image_model is not None:
        refuse_revision(names.image_model, names.image_revision, "--image-revision")
    elif names.image_revision is not None:
        raise InvalidOption(
            f"--image-revision {names.image_revision} selects a version of --image-model, and there is none: "
            "leave --image-revision out"
        )


def refuse_revision(model: str, revision: str | None, option: str = "--revision") -> None:
    """Raise ``InvalidOption`` for a revision of a model on this machine."""
    if revision is not None and is_path(model):
        raise InvalidOption(
            f"{option} {revision} selects a version on the hub, and {model} is on this machine: leave {option} out"
        )


def _with_code(files: ModelFiles, commit: str | None) -> ModelFiles:
    """Add the code that is in another repository: at this commit, or at the newest, from here to the end of the build.

    Raises ``InvalidOption`` for a commit where there is no such code, ``UnsupportedModel`` where there are several
    repositories of it, and what ``fetch_code`` raises.
    """
    repositories = code_repositories(files.directory)
    if not repositories:
        if commit is not None:
            raise InvalidOption(
                f"--code-revision {commit} selects code in another repository, and {files.model} has none there: "
                "leave --code-revision out"
            )
        return files
    if len(repositories) > 1:
        raise UnsupportedModel(f"the model's code is in several repositories: {', '.join(repositories)}")
    from build.model.hub import fetch_code

    (repository,) = repositories
    code = fetch_code(repository, commit)
    source = replace(files.source, code_revision=code.commit)
    return replace(files, source=source, code_cache=pinned_cache(code, repository))


def _fetch(model: str, revision: str | None, trust: Trust) -> ModelFiles:
    if is_path(model):
        return fetch_from_directory(model, trust)
    if is_default_model(model) and revision is None:
        return fetch_from_package()
    # PERF: imported only here, because the hub's client takes a third of a second.
    from build.model.hub import fetch_from_hub

    return fetch_from_hub(model, revision, trust)


def code_repositories(directory: Path) -> list[str]:
    """Other repositories that hold the model's code, according to its configs ("repository--module.Class")."""
    configs = (read_object(path.parent, path.name) for path in config_files(directory))
    names = {name for config in configs for name in _classes(config.get("auto_map"))}
    return sorted({name.split("--")[0] for name in names if "--" in name})


def _classes(auto_map: Any) -> list[str]:
    """The classes that an ``auto_map`` names. A tokenizer has two, either of which may be null."""
    entries = auto_map.values() if isinstance(auto_map, dict) else ()
    named = [name for entry in entries for name in (entry if isinstance(entry, list) else [entry])]
    return [name for name in named if isinstance(name, str)]


def is_path(model: str) -> bool:
    """Whether ``model`` means something on this machine: it exists, or it is spelled as a path."""
    return Path(model).exists() or model.startswith((".", "/", "~")) or model.endswith("/")


def fetch_from_directory(model: str, trust: Trust) -> ModelFiles:
    """Use a directory as it is. Raises ``ModelNotFound`` or ``UnsupportedModel``."""
    directory = model_directory(model)
    names = own_files(directory, trust)
    return ModelFiles(directory.name, Source(SourceKind.DIRECTORY, content_hash(directory, names)), directory)


def own_files(directory: Path, trust: Trust) -> list[str]:
    """The names of the files in a model's directory that a build reads.

    Raises ``UnsupportedModel`` for a link that leads elsewhere and for weights that are missing or pickled,
    ``ModelNotFound`` for a file that git left as a pointer.
    """
    present = files_below(directory)
    refuse_outside(directory, present)
    names = wanted_files(present, trust)
    refuse_pointers(directory, names)
    return names


def model_directory(model: str) -> Path:
    """The directory that the path ``model`` means.

    Raises ``ModelNotFound`` where it is not a model's, ``UnsupportedModel`` for one of open_clip's.
    """
    directory = Path(model).expanduser().absolute()
    if directory.is_file():
        raise ModelNotFound(f"{model} is a file: pass the model's directory, or a model id on the hub")
    if not directory.is_dir():
        raise ModelNotFound(f"{directory} is not a directory")
    if _is_bundle(directory):
        raise ModelNotFound(f"{model} is a bundle, not a model: make serve BUNDLE={shlex.quote(model)} serves it")
    readable = any((directory / name).is_file() for name in (CONFIG, MODULES, SENTENCE_CONFIG))
    refuse_open_clip(directory.name, [path.name for path in directory.iterdir()], readable)
    if not readable:
        raise ModelNotFound(f"{directory} has neither {CONFIG} nor {MODULES}: not a model directory")
    return directory


def _is_bundle(directory: Path) -> bool:
    """Whether the directory is a bundle, of any schema, damaged or not."""
    try:
        manifest: Any = json.loads((directory / MANIFEST_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and type(manifest.get("schema")) is int and "files" in manifest
