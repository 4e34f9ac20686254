"""Reads a model's licence from its card."""

from __future__ import annotations

from pathlib import Path

import yaml

FRONT_MATTER = "---"


def read_licence(directory: Path) -> str | None:
    """The ``license`` of the front matter of the directory's README.md; None where it states none."""
    card = directory / "README.md"
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines() if card.exists() else []
    if not lines or lines[0].strip() != FRONT_MATTER:
        return None
    end = next((n for n, line in enumerate(lines[1:], 1) if line.strip() == FRONT_MATTER), 0)
    try:
        fields = yaml.safe_load("\n".join(lines[1:end]))
    except (yaml.YAMLError, ValueError):  # NOTE: ValueError for what looks like a date and is none.
        return None
    licence = fields.get("license") if isinstance(fields, dict) else None
    return licence if isinstance(licence, str) else None
