"""Holds the texts on which a bundle is compared with the original; no stage before verification reads them."""

from __future__ import annotations

from build.paths import DATA

FILE = DATA / "heldout.txt"


def heldout_texts() -> list[str]:
    """One text a line: queries, sentences and paragraphs in many languages, code, oddities."""
    return FILE.read_text(encoding="utf-8").splitlines()
