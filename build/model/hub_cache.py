"""Records, in the hub's own cache, what was downloaded completely, so that a build can run offline.

The cache itself cannot tell: an interrupted download, or what another program needed of a repository, looks the same.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote


class Records(StrEnum):
    """What was downloaded of a repository.

    The value is the folder of its records in the repository's part of the cache. The folder has a file for each
    revision that was requested.
    """

    MODEL = "cpu2vec"
    CODE = "cpu2vec-code"


@dataclass(frozen=True)
class Snapshot:
    """One commit of a repository, in the hub's cache."""

    repository: str
    """The id in the hub's spelling."""
    commit: str
    directory: Path

    @property
    def home(self) -> Path:
        """The repository's part of the cache."""
        return self.directory.parent.parent


def remember(records: Records, snapshot: Snapshot, revision: str, names: list[str]) -> None:
    """Record that all ``names`` of a revision, which is the snapshot's commit, are complete."""
    value = json.dumps({"model": snapshot.repository, "commit": snapshot.commit, "files": names})
    folder = snapshot.home / records
    folder.mkdir(exist_ok=True)
    for name in (revision, snapshot.commit):
        _write(folder / f"{quote(name, safe='')}.json", value)


def recall(records: Records, cache: Path, repository: str, revision: str) -> Snapshot | None:
    """The commit that ``revision`` named when it was last downloaded; None unless all of its files are still there."""
    for path in cache.glob(f"models--*/{records}/{quote(revision, safe='')}.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        directory = path.parent.parent / "snapshots" / record["commit"]
        complete = all((directory / name).exists() for name in record["files"])
        if record["model"].lower() == repository.lower() and complete:
            return Snapshot(record["model"], record["commit"], directory)
    return None


def copy_snapshot(records: Records, snapshot: Snapshot, revision: str, cache: Path) -> Path:
    """Copy a snapshot and its record to another cache, where ``revision`` is then found; return its directory there."""
    directory = cache / snapshot.home.name / "snapshots" / snapshot.commit
    shutil.copytree(snapshot.directory, directory, dirs_exist_ok=True)
    names = [path.relative_to(directory).as_posix() for path in sorted(directory.rglob("*")) if path.is_file()]
    remember(records, Snapshot(snapshot.repository, snapshot.commit, directory), revision, names)
    return directory


def pinned_cache(snapshot: Snapshot, spelling: str) -> Path:
    """Return a cache in the hub's layout whose only content is the snapshot, as the branch ``main``.

    transformers looks up code in another repository by that branch. In this cache it finds the snapshot's commit,
    whatever the branch has become since. ``spelling`` is the repository's id as the model's config spells it.
    """
    cache = snapshot.home / Records.CODE / snapshot.commit
    repository = cache / f"models--{spelling.replace('/', '--')}"
    link, branch = repository / "snapshots" / snapshot.commit, repository / "refs" / "main"
    if not branch.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(Path("../../../../snapshots") / snapshot.commit, target_is_directory=True)
        branch.parent.mkdir(exist_ok=True)
        _write(branch, snapshot.commit)
    return cache


def _write(path: Path, text: str) -> None:
    """Write a file that is complete whenever it is there."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(path)
