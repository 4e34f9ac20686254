"""What the reports of all comparisons share: tables of names and values, and the facts about the bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from build.compare.sides import NewSide
from manifest import Manifest

CLIPPED_TEXT = 70
"""Tables show this many characters of a text."""


def new_rows(new: NewSide, manifest: Manifest | None, answers: str) -> list[tuple[str, str]]:
    """The rows that say what the new side is, and what its answers are like."""
    model = [] if manifest is None else [("", f"{manifest.model}, {manifest.precision} for {manifest.target}")]
    return [("new", f"{new}: {answers}"), *model]


def new_facts(new: NewSide, manifest: Manifest | None) -> dict[str, str]:
    """What the JSON of a comparison says of the new side."""
    if manifest is None:
        return {"address": str(new)}
    return {
        "bundle": str(new),
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
