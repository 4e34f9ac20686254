"""Adds to a bundle what verification found, and completes its manifest."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from manifest import (
    FIDELITY_FILE,
    FIDELITY_PAGE_FILE,
    GOLDEN_FILE,
    Fidelity,
    Golden,
    Manifest,
    describe_files,
    to_json,
    write_manifest,
)


@dataclass(frozen=True)
class Verified:
    """What a kind found when it compared its bundle with the original."""

    fidelity: Fidelity
    golden: Golden
    report: str
    """The content of ``fidelity.json``."""
    page: str
    """The content of ``fidelity.html``."""
    summary: tuple[tuple[str, str], ...]
    """Rows, as name and value, of the table at the end of a build: what was measured, and what was required."""


def seal(directory: Path, manifest: Manifest, verified: Verified) -> Manifest:
    """Write golden requests, report and page, and the manifest with the final files."""
    (directory / FIDELITY_FILE).write_text(verified.report, encoding="utf-8")
    (directory / FIDELITY_PAGE_FILE).write_text(verified.page, encoding="utf-8")
    (directory / GOLDEN_FILE).write_text(to_json(verified.golden), encoding="utf-8")
    files = describe_files(directory, manifest.section)
    sealed = dataclasses.replace(manifest, files=files, fidelity=verified.fidelity)
    write_manifest(directory, sealed)
    return sealed
