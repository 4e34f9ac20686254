"""The project's version: what the file VERSION says."""

from __future__ import annotations

from build.paths import ROOT


def project_version() -> str:
    """Return the version of this checkout, such as "0.1.0"."""
    return (ROOT / "VERSION").read_text(encoding="ascii").strip()
