"""Fetches a model from the HuggingFace hub: the only module that talks to it, and where its errors are translated."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import logging

from build.errors import AccessDenied, BuildError, DamagedDownload, HubUnreachable, ModelNotFound, OutOfDisk
from build.host.resources import free_disk
from build.model.files import CONFIG, MODULES, ModelFiles, code_files, wanted_files
from build.model.hub_cache import recall, remember
from build.model.trust import Trust
from manifest import Source, SourceKind, sha256_of

DEFAULT_REVISION = "main"
TOKEN_HINT = "accept its terms on the hub, and pass a token in HF_TOKEN"

ATTEMPTS = 5
"""How often a file is asked for whose connection breaks; what has arrived is kept from one to the next."""

logging.set_verbosity_error()  # NOTE: its warnings of retries take several lines each.


def fetch_from_hub(model: str, revision: str | None, trust: Trust) -> ModelFiles:
    """Download what a build reads, into the hub's own cache; files that are there already are not fetched again.

    The id is taken in the hub's spelling, a branch or tag becomes the commit it names, and every file is compared
    with the hash that the hub states. Raises ``ModelNotFound``, ``AccessDenied``, ``HubUnreachable``,
    ``DamagedDownload`` or ``UnsupportedModel``.
    """
    revision = revision or DEFAULT_REVISION
    if constants.HF_HUB_OFFLINE:
        if files := recall(Path(constants.HF_HUB_CACHE), model, revision):
            return files
        raise HubUnreachable(
            f"offline (HF_HUB_OFFLINE is set), and {_label(model, revision)} was not downloaded here before: "
            "unset it to download, or give a local directory"
        )
    with _translate_errors(model, revision):
        info = HfApi().model_info(model, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
        names = wanted_files(list(siblings), trust)
        marker = next((name for name in (CONFIG, MODULES) if name in names), None)
        if marker is None:
            raise ModelNotFound(f"{info.id} has neither {CONFIG} nor {MODULES}: not a model for transformers")
        _check_free_disk(info, names, siblings)
        paths = {name: _download(info, name) for name in names}
    for name, path in paths.items():
        _check_hash(path, name, siblings[name])
    files = ModelFiles(info.id, Source(SourceKind.HUB, info.sha), paths[marker].parent)
    with suppress(OSError):  # NOTE: a cache that is mounted read-only will do, too.
        remember(files, revision, names)
    return files


def fetch_code(repository: str) -> None:
    """Download the Python files of a repository that a model's config names, to where transformers looks for them.

    Nothing is asked for offline. Raises what ``fetch_from_hub`` raises.
    """
    if constants.HF_HUB_OFFLINE:
        return
    with _translate_errors(repository, DEFAULT_REVISION):
        timeout = constants.HF_HUB_ETAG_TIMEOUT
        info = HfApi().model_info(repository, revision=DEFAULT_REVISION, files_metadata=True, timeout=timeout)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
        for name in code_files(list(siblings)):
            # NOTE: by the branch's name, because that is how transformers asks the cache.
            path = Path(hf_hub_download(repository, name, revision=DEFAULT_REVISION))
            _check_hash(path, name, siblings[name])


def _check_free_disk(info: ModelInfo, names: list[str], siblings: dict[str, RepoSibling]) -> None:
    """Raises ``OutOfDisk`` where what is still to be downloaded does not fit."""
    cache = Path(constants.HF_HUB_CACHE)
    missing = [name for name in names if not isinstance(try_to_load_from_cache(info.id, name, revision=info.sha), str)]
    size, free = sum(siblings[name].size or 0 for name in missing), free_disk(cache)
    if size > free:
        raise OutOfDisk(
            f"{info.id} is a download of {size / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free at {cache}: "
            "make room, or set HF_HOME"
        )


def _download(info: ModelInfo, name: str) -> Path:
    """The file's path in the cache. A connection that breaks within the file is taken up where it broke."""
    for _ in range(ATTEMPTS - 1):
        with suppress(requests.exceptions.ChunkedEncodingError):
            return _download_once(info, name)
        time.sleep(1)
    return _download_once(info, name)


def _download_once(info: ModelInfo, name: str) -> Path:
    try:
        return Path(hf_hub_download(info.id, name, revision=info.sha))
    except requests.RequestException:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        # NOTE: the client says so of a file of another size than stated, and would go on with it the next time.
        folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=info.id, repo_type="model")
        for rest in folder.glob("blobs/*.incomplete"):
            rest.unlink()
        raise DamagedDownload(f"{name} has not the size that the hub states: try again") from None


def _check_hash(path: Path, name: str, stated: RepoSibling) -> None:
    """Large files have a sha256, small ones the id that git gives a blob: sha1 over ``blob <size>\\0`` and content."""
    if stated.lfs is not None:
        intact = sha256_of(path) == stated.lfs.sha256
    else:
        content = path.read_bytes()
        intact = stated.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if not intact:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise DamagedDownload(f"{name} is not the file that the hub describes (its hash differs): try again")


@contextmanager
def _translate_errors(model: str, revision: str) -> Iterator[None]:
    shown = _label(model, revision)
    try:
        yield
    except BuildError:
        raise
    except GatedRepoError:
        raise AccessDenied(f"{model} is gated: {TOKEN_HINT}") from None
    except RevisionNotFoundError:
        raise ModelNotFound(f"the hub has {model}, and no revision {revision} of it") from None
    except RepositoryNotFoundError:
        raise _not_found(model) from None
    except HFValidationError:
        raise ModelNotFound(f"{model!r} is neither a directory nor a model id of the hub") from None
    except LocalEntryNotFoundError as error:
        raise _request_error(error.__cause__, model, shown) from None
    except EntryNotFoundError:
        raise DamagedDownload(f"a file of {shown} vanished from the hub while it was read: try again") from None
    except (requests.RequestException, OfflineModeIsEnabled, ConnectionError, RuntimeError) as error:
        # NOTE: hf_xet, through which the client gets large files, has RuntimeError for everything.
        if "No space left on device" in str(error):
            raise OutOfDisk(f"the disk is full: make room in {constants.HF_HOME}, or set HF_HOME") from None
        raise _request_error(error, model, shown) from None


def _request_error(error: BaseException | None, model: str, shown: str) -> BuildError:
    """What to say of a request that failed: by the hub's status, where it answered."""
    response = error.response if isinstance(error, HfHubHTTPError) else None
    if response is None:
        return HubUnreachable(
            f"the hub cannot be reached for {shown}: check the network, or set HF_HUB_OFFLINE=1 to use a model that "
            "was downloaded before, or give a local directory"
        )
    if response.status_code == 401 and "authorization" in response.request.headers:
        return AccessDenied(f"the hub does not accept the token for {shown} (401): pass another in HF_TOKEN")
    if response.status_code in (401, 404):
        return _not_found(model)
    if response.status_code == 403:
        return AccessDenied(f"the hub denies access to {shown} (403): {TOKEN_HINT}")
    return HubUnreachable(f"the hub answered {response.status_code} for {shown}: try again later")


def _not_found(model: str) -> ModelNotFound:
    """The hub says the same of a model that does not exist and of one that not everybody may see."""
    return ModelNotFound(f"the hub has no model {model}, or it is private: if so, pass a token in HF_TOKEN")


def _label(model: str, revision: str) -> str:
    return model if revision == DEFAULT_REVISION else f"{model} at {revision}"
