"""Records, in the hub's own cache, which models were downloaded completely, so that a build can run offline.

The cache itself cannot tell: an interrupted download, or what another program needed of a model, looks the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from build.model.files import ModelFiles
from manifest import Source, SourceKind

RECORDS = "cpu2vec"
"""The folder of the records in a model's part of the cache; it has a file for each revision that was requested."""


def remember(files: ModelFiles, revision: str, names: list[str]) -> None:
    """Record that all ``names`` of a revision are complete in ``files.directory``, which is its commit's snapshot."""
    value = json.dumps({"model": files.model, "commit": files.source.revision, "files": names})
    records = files.directory.parent.parent / RECORDS
    records.mkdir(exist_ok=True)
    for name in (revision, files.source.revision):
        partial = records / f"{quote(name, safe='')}.partial"
        partial.write_text(value, encoding="utf-8")
        partial.rename(partial.with_suffix(".json"))


def recall(cache: Path, model: str, revision: str) -> ModelFiles | None:
    """The commit that ``revision`` named when it was last downloaded; None unless all of its files are still there."""
    for path in cache.glob(f"models--*/{RECORDS}/{quote(revision, safe='')}.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        snapshot = path.parent.parent / "snapshots" / record["commit"]
        if record["model"].lower() == model.lower() and all((snapshot / name).exists() for name in record["files"]):
            return ModelFiles(record["model"], Source(SourceKind.HUB, record["commit"]), snapshot)
    return None
