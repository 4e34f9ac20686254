"""What the reports of all comparisons share: tables of names and values, and the facts about the bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from manifest import Manifest

CLIPPED_TEXT = 70
"""Tables show this many characters of a text."""


def bundle_facts(bundle: Path, manifest: Manifest) -> dict[str, str]:
    """What the JSON of a comparison says of the new bundle."""
    return {
        "bundle": str(bundle),
        "model": manifest.model,
        "revision": manifest.source.revision,
        "precision": manifest.precision,
        "target": manifest.target,
    }


def format_rows(rows: Sequence[tuple[str, str]]) -> str:
    """One line for each row, with the values below one another."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(_printable(f"{name:<{width}}  {value}") for name, value in rows)


def listed(name: str, values: Iterable[str]) -> list[tuple[str, str]]:
    """A row for each value. Only the first has the name."""
    return [(name if index == 0 else "", value) for index, value in enumerate(values)]


def _printable(line: str) -> str:
    """The line without characters that could break the table or steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in line).rstrip()
