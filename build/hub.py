"""Fetches a model from the HuggingFace hub: the only module that talks to it, and where its errors are translated."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from huggingface_hub import HfApi, constants, hf_hub_download, scan_cache_dir
from huggingface_hub.errors import (
    CacheNotFound,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoSibling

from build.errors import AccessDenied, BuildError, DamagedDownload, HubUnreachable, ModelNotFound
from build.model_files import CONFIG, ModelFiles, wanted_files
from manifest import Source, SourceKind, sha256_of

DEFAULT_REVISION = "main"
TOKEN_HINT = "accept its terms on the hub, and pass a token in HF_TOKEN"


def fetch_from_hub(model: str, revision: str | None, with_code: bool) -> ModelFiles:
    """Download what a build reads, into the hub's own cache; files that are there already are not fetched again.

    The id is taken in the hub's spelling, a branch or tag becomes the commit it names, and every file is compared
    with the hash that the hub states. Raises ``ModelNotFound``, ``AccessDenied``, ``HubUnreachable``,
    ``DamagedDownload`` or ``UnsupportedModel``.
    """
    if constants.HF_HUB_OFFLINE:
        return _find_in_cache(model, revision)
    with _translated(model, revision):
        info = HfApi().model_info(model, revision=revision or DEFAULT_REVISION, files_metadata=True)
        siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
        names = wanted_files(list(siblings), with_code)
        if CONFIG not in names:
            raise ModelNotFound(f"{info.id} has no {CONFIG}: not a model for transformers")
        paths = {name: Path(hf_hub_download(info.id, name, revision=info.sha)) for name in names}
    for name, path in paths.items():
        _check_hash(path, name, siblings[name])
    return ModelFiles(info.id, Source(SourceKind.HUB, info.sha), paths[CONFIG].parent)


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


def _find_in_cache(model: str, revision: str | None) -> ModelFiles:
    """Offline: the newest cached commit that ``revision`` names. Its files were checked when they were fetched."""
    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        repos = frozenset()
    for repo in repos:
        if repo.repo_type != "model" or repo.repo_id.lower() != model.lower():
            continue
        cached = sorted(repo.revisions, key=lambda one: one.last_modified, reverse=True)
        if revision is not None:
            cached = [one for one in cached if one.commit_hash == revision or revision in one.refs]
        for one in cached:
            if (one.snapshot_path / CONFIG).exists():
                return ModelFiles(repo.repo_id, Source(SourceKind.HUB, one.commit_hash), one.snapshot_path)
    raise HubUnreachable(
        f"offline (HF_HUB_OFFLINE is set), and {_shown(model, revision)} is not in the cache: unset it to download"
    )


@contextmanager
def _translated(model: str, revision: str | None) -> Iterator[None]:
    shown = _shown(model, revision)
    try:
        yield
    except BuildError:
        raise
    except GatedRepoError:
        raise AccessDenied(f"{model} is gated: {TOKEN_HINT}") from None
    except RevisionNotFoundError:
        raise ModelNotFound(f"the hub has {model}, and no revision {revision} of it") from None
    except RepositoryNotFoundError:
        # NOTE: the hub answers 401 for a model that does not exist, so as not to tell which private ones do.
        raise ModelNotFound(
            f"the hub has no model {model}, or it is private: if so, pass a token in HF_TOKEN"
        ) from None
    except HFValidationError:
        raise ModelNotFound(f"{model!r} is neither a directory nor a model id of the hub") from None
    except EntryNotFoundError as error:
        if not isinstance(error, LocalEntryNotFoundError):
            raise DamagedDownload(f"a file of {shown} vanished from the hub while it was read: try again") from None
        raise HubUnreachable(_unreachable(shown)) from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise AccessDenied(f"the hub denies access to {shown} ({status}): {TOKEN_HINT}") from None
        raise HubUnreachable(f"the hub answered {status} for {shown}: try again later") from None
    except (requests.RequestException, OfflineModeIsEnabled, ConnectionError):
        raise HubUnreachable(_unreachable(shown)) from None


def _shown(model: str, revision: str | None) -> str:
    return model if revision is None else f"{model} at {revision}"


def _unreachable(shown: str) -> str:
    return (
        f"the hub cannot be reached for {shown}: check the network, or set HF_HUB_OFFLINE=1 to use a model that was "
        "downloaded before, or give a local directory"
    )
