"""Reads a user's own texts, on which two containers are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from build.errors import NoTexts

FEWEST = 2
"""One text has no neighbour."""


@dataclass(frozen=True)
class OwnTexts:
    """No two ``texts`` are equal; ``repeated`` lines were left out, which would only be one another's neighbours."""

    texts: tuple[str, ...]
    repeated: int


def read_texts(path: Path) -> OwnTexts:
    """One text a line; blank lines are none. Raises ``NoTexts``."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise NoTexts(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8, one text a line") from None
    except OSError as error:
        raise NoTexts(f"{path} cannot be read: {error.strerror}") from None
    given = [line for line in lines if line.strip()]
    texts = tuple(dict.fromkeys(given))
    if len(texts) < FEWEST:
        raise NoTexts(f"{path} has {len(texts)} different texts, and at least {FEWEST} are needed, one a line")
    return OwnTexts(texts, repeated=len(given) - len(texts))
