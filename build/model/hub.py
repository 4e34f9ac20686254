"""Downloads models from the Hugging Face hub. The only module that talks to the hub, and that knows its errors."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging import ERROR
from pathlib import Path

import requests
from huggingface_hub import HfApi, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import logging

from build.command_line import format_size
from build.errors import AccessDenied, BuildError, DamagedDownload, HubUnreachable, ModelNotFound, OutOfDisk
from build.host.resources import free_disk
from build.model.files import CONFIG, MODULES, ModelFiles, code_files, wanted_files
from build.model.hub_cache import Records, Snapshot, recall, remember
from build.model.open_clip import refuse_open_clip
from build.model.trust import Trust
from manifest import Source, SourceKind, sha256_of

DEFAULT_REVISION = "main"
TOKEN_HINT = "accept its terms on the hub, and pass a token in HF_TOKEN"

ATTEMPTS = 5
"""A file whose connection breaks is requested this often; each attempt continues where the last one ended."""


def fetch_from_hub(model: str, revision: str | None, trust: Trust) -> ModelFiles:
    """Download the files that a build reads into the hub's own cache, except those that are there already.

    The id takes the hub's spelling, a branch or tag becomes the commit that it names, and every file is compared with
    the hash that the hub reports. Raises ``ModelNotFound``, ``AccessDenied``, ``HubUnreachable``, ``DamagedDownload``,
    ``OutOfDisk`` or ``UnsupportedModel``.
    """
    wanted_revision = revision or DEFAULT_REVISION
    if constants.HF_HUB_OFFLINE:
        return _model_files(_recall(Records.MODEL, model, wanted_revision), revision)
    with _quiet_client(), _translated_errors(model, wanted_revision):
        name, commit, siblings = _list_files(model, wanted_revision)
        refuse_open_clip(name, siblings, readable=bool({CONFIG, MODULES} & set(siblings)))
        names = wanted_files(list(siblings), trust)
        if not {CONFIG, MODULES} & set(names):
            raise ModelNotFound(f"{name} has neither {CONFIG} nor {MODULES}: not a model for transformers")
        _check_free_disk(name, commit, [siblings[file] for file in names])
        snapshot = _download_all(name, commit, [siblings[file] for file in names])
    with suppress(OSError):  # NOTE: a cache that is mounted read-only is good enough.
        remember(Records.MODEL, snapshot, wanted_revision, names)
    return _model_files(snapshot, revision)


def fetch_code(repository: str, commit: str | None) -> Snapshot:
    """Download the Python files of a repository that a model's config names; ``commit`` None: the newest.

    Raises what ``fetch_from_hub`` raises.
    """
    revision = commit or DEFAULT_REVISION
    if constants.HF_HUB_OFFLINE:
        return _recall(Records.CODE, repository, revision)
    with _quiet_client(), _translated_errors(repository, revision):
        name, found, siblings = _list_files(repository, revision)
        names = code_files(list(siblings))
        if not names:
            raise ModelNotFound(f"{_label(name, revision)} has no Python files, but the model's config wants its code")
        snapshot = _download_all(name, found, [siblings[file] for file in names])
    with suppress(OSError):  # NOTE: as above.
        remember(Records.CODE, snapshot, revision, names)
    return snapshot


def cache_directory() -> Path:
    """Where the hub's client keeps what it downloads."""
    return Path(constants.HF_HUB_CACHE)


def _model_files(snapshot: Snapshot, revision: str | None) -> ModelFiles:
    source = Source(SourceKind.HUB, snapshot.commit)
    return ModelFiles(snapshot.repository, source, snapshot.directory, requested_revision=revision)


def _recall(records: Records, model: str, revision: str) -> Snapshot:
    """The model or its code as it was downloaded before. Raises ``HubUnreachable`` where it was not."""
    if snapshot := recall(records, Path(constants.HF_HUB_CACHE), model, revision):
        return snapshot
    raise HubUnreachable(
        f"offline (HF_HUB_OFFLINE is set), and {_label(model, revision)} was not downloaded here before: "
        "unset it to download, or pass a local directory"
    )


def _list_files(model: str, revision: str) -> tuple[str, str, dict[str, RepoSibling]]:
    """The id in the hub's spelling, the commit, and what the hub reports about each file, by name."""
    info = HfApi().model_info(model, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    if info.sha is None:
        raise HubUnreachable(f"the hub did not say which commit {_label(model, revision)} is: try again later")
    return info.id, info.sha, {sibling.rfilename: sibling for sibling in info.siblings or []}


def _check_free_disk(model: str, commit: str, siblings: list[RepoSibling]) -> None:
    """Raise ``OutOfDisk`` where the files that are not in the cache yet do not fit."""
    cache = Path(constants.HF_HUB_CACHE)
    missing = [
        sibling
        for sibling in siblings
        if not isinstance(try_to_load_from_cache(model, sibling.rfilename, revision=commit), str)
    ]
    size, free = sum(sibling.size or 0 for sibling in missing), free_disk(cache)
    if size > free:
        raise OutOfDisk(
            f"{model} needs {format_size(size)} of disk for its download, and {format_size(free)} are free at {cache}: "
            "make room, or set HF_HOME to another directory"
        )


def _download_all(model: str, commit: str, siblings: list[RepoSibling]) -> Snapshot:
    """Download these files, at least one, and compare each with the hash that the hub reports."""
    paths = [_download(model, commit, sibling.rfilename) for sibling in siblings]
    for path, sibling in zip(paths, siblings, strict=True):
        _check_hash(path, sibling)
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model")
    return Snapshot(model, commit, folder / "snapshots" / commit)


def _download(model: str, commit: str, file: str) -> Path:
    """The file's path in the cache. A download whose connection broke continues where it ended."""
    for _ in range(ATTEMPTS - 1):
        with suppress(requests.exceptions.ChunkedEncodingError):
            return _download_once(model, commit, file)
        time.sleep(1)
    return _download_once(model, commit, file)


def _download_once(model: str, commit: str, file: str) -> Path:
    try:
        return Path(hf_hub_download(model, file, revision=commit))
    except requests.RequestException:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        # NOTE: that is how the client reports a file of the wrong size. It would continue that file the next time.
        folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model")
        for partial in folder.glob("blobs/*.incomplete"):
            partial.unlink()
        raise DamagedDownload(f"{file} does not have the size that the hub reports: try again") from None


def _check_hash(path: Path, sibling: RepoSibling) -> None:
    """Raise ``DamagedDownload``, and remove the file, where it is not the one that the hub describes.

    Large files have a sha256, small ones the id that git gives a blob: sha1 over ``blob <size>\\0`` and content.
    """
    if sibling.lfs is not None:
        intact = sha256_of(path) == sibling.lfs.sha256
    else:
        content = path.read_bytes()
        intact = sibling.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if not intact:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise DamagedDownload(f"{sibling.rfilename} does not have the hash that the hub reports: try again")


@contextmanager
def _quiet_client() -> Iterator[None]:
    """Keep the client's warnings off the terminal: each retry would take several lines."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def _translated_errors(model: str, revision: str) -> Iterator[None]:
    """Raise the client's errors as ``BuildError``."""
    label = _label(model, revision)
    try:
        yield
    except BuildError:
        raise
    except GatedRepoError:
        raise AccessDenied(f"{model} is gated: {TOKEN_HINT}") from None
    except RevisionNotFoundError:
        raise ModelNotFound(f"the hub has no revision {revision} of {model}") from None
    except RepositoryNotFoundError:
        raise _not_found(model) from None
    except HFValidationError:
        raise ModelNotFound(f"{model!r} is neither a directory nor a model id on the hub") from None
    except LocalEntryNotFoundError as error:
        raise _request_error(error.__cause__, model, label) from None
    except EntryNotFoundError:
        raise DamagedDownload(f"a file of {label} disappeared from the hub during the download: try again") from None
    except (requests.RequestException, OfflineModeIsEnabled, ConnectionError, RuntimeError) as error:
        # NOTE: hf_xet, through which the client downloads large files, raises RuntimeError for everything.
        if "No space left on device" in str(error):
            raise OutOfDisk(
                f"the disk is full: make room in {constants.HF_HOME}, or set HF_HOME to another directory"
            ) from None
        raise _request_error(error, model, label) from None


def _request_error(error: BaseException | None, model: str, label: str) -> BuildError:
    """The error for a failed request, by the hub's status where there was an answer."""
    response = error.response if isinstance(error, HfHubHTTPError) else None
    if response is None:
        return HubUnreachable(
            f"the hub cannot be reached for {label}: check the network, or pass a local directory; outside a Docker "
            "build, HF_HUB_OFFLINE=1 uses an earlier download"
        )
    if response.status_code == 401 and "authorization" in response.request.headers:
        return AccessDenied(f"the hub rejects the token for {label} (401): pass a valid one in HF_TOKEN")
    if response.status_code in (401, 404):
        return _not_found(model)
    if response.status_code == 403:
        return AccessDenied(f"the hub denies access to {label} (403): {TOKEN_HINT}")
    return HubUnreachable(f"the hub answered {response.status_code} for {label}: try again later")


def _not_found(model: str) -> ModelNotFound:
    """The hub answers alike for a model that does not exist and for one that is hidden from this user."""
    return ModelNotFound(f"the hub has no model {model}, or it is private: if so, pass a token in HF_TOKEN")


def _label(model: str, revision: str) -> str:
    return model if revision == DEFAULT_REVISION else f"{model} at {revision}"
