"""Reads the user's own texts, on which two containers are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from build.errors import NoTexts

MIN_TEXTS = 2
"""A comparison needs this many texts, because a single one has no neighbor."""


@dataclass(frozen=True)
class OwnTexts:
    """The different texts of a file."""

    texts: tuple[str, ...]
    """No two of them are equal."""
    repeated: int
    """The number of lines that were left out, since equal texts are only each other's neighbors."""


def read_texts(path: Path) -> OwnTexts:
    """Read one text per line, without blank lines. Raises ``NoTexts``."""
    given = [line for line in read_lines(path) if line.strip()]
    texts = tuple(dict.fromkeys(given))
    if len(texts) < MIN_TEXTS:
        raise NoTexts(f"{path} must have at least {MIN_TEXTS} different texts, one per line, not {len(texts)}")
    return OwnTexts(texts, repeated=len(given) - len(texts))


def read_lines(path: Path) -> list[str]:
    """The lines of a user's file. Raises ``NoTexts``."""
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise NoTexts(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8, one text per line") from None
    except OSError as error:
        raise NoTexts(f"{path} cannot be read: {error.strerror}") from None
