"""Makes a temporary bundle that answers in a different way than its model declares. It is served, never shipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from manifest import (
    GOLDEN_FILE,
    FileEntry,
    Golden,
    Manifest,
    Section,
    bundle_files,
    sha256_of,
    to_json,
    write_manifest,
)


def write_variant(bundle: Path, manifest: Manifest, section: Section, directory: Path) -> None:
    """Fill an empty ``directory`` with links to the bundle's files and a manifest that has ``section`` in it.

    It has no golden texts, because a server would find that their vectors differ.
    """
    names = bundle_files(section)
    for name in names:
        if name != GOLDEN_FILE:
            (directory / name).symlink_to((bundle / name).resolve())
    golden = directory / GOLDEN_FILE
    golden.write_text(to_json(Golden(())), encoding="utf-8")
    entry = FileEntry(size=golden.stat().st_size, sha256=sha256_of(golden))
    files = {name: entry if name == GOLDEN_FILE else manifest.files[name] for name in names}
    write_manifest(directory, replace(manifest, section=section, files=files, fidelity=None))
