"""Remembers, in the hub's own cache, which models were downloaded whole, so that a build can go on without a network.

The cache itself cannot tell: half a download, or what another program wanted of a model, looks the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from build.model.files import ModelFiles
from manifest import Source, SourceKind

RECORDS = "cpu2vec"
"""Folder in a model's part of the cache, with a file for each revision that was asked for."""


def remember(files: ModelFiles, revision: str, names: list[str]) -> None:
    """Note that all ``names`` of ``revision`` are there and sound. ``files.directory`` is the commit's snapshot."""
    value = json.dumps({"model": files.model, "commit": files.source.revision, "files": names})
    records = files.directory.parent.parent / RECORDS
    records.mkdir(exist_ok=True)
    for name in (revision, files.source.revision):
        partial = records / f"{quote(name, safe='')}.partial"
        partial.write_text(value, encoding="utf-8")
        partial.rename(partial.with_suffix(".json"))


def recall(cache: Path, model: str, revision: str) -> ModelFiles | None:
    """The commit that ``revision`` was when it was last downloaded, if all of it is still there."""
    for path in cache.glob(f"models--*/{RECORDS}/{quote(revision, safe='')}.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        snapshot = path.parent.parent / "snapshots" / record["commit"]
        if record["model"].lower() == model.lower() and all((snapshot / name).exists() for name in record["files"]):
            return ModelFiles(record["model"], Source(SourceKind.HUB, record["commit"]), snapshot)
    return None
