"""Formats the table at the end of a build."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from build.pipeline import BuildResult
from manifest import FIDELITY_PAGE_FILE, Target


def summary(result: BuildResult, output: Path, extra_targets: Sequence[tuple[Target, Path]] = ()) -> str:
    """Lines of name and value, and the command that serves the bundle."""
    manifest = result.manifest
    after = sum(entry.size for entry in manifest.files.values())
    rows = [
        ("model", f"{manifest.model} ({manifest.source.kind}, {manifest.source.revision})"),
        ("bundle", f"{manifest.precision} for {manifest.target}"),
        ("size", f"weights {_megabytes(result.weight_bytes)} → bundle {_megabytes(after)}"),
        *result.summary,
        ("report", str(output / FIDELITY_PAGE_FILE)),
        ("output", str(output)),
        *((f"for {target}", str(path)) for target, path in extra_targets),
        ("serve", f"make serve BUNDLE={shlex.quote(str(output))}"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
