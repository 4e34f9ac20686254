"""Turns any text into HTML that shows it and does nothing else, and rows into tables."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence

JOINERS = "\u200c\u200d"
"""Shape letters and join emoji in ordinary text, and are safe."""

UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Categories of what steers a terminal, turns the direction of a line round, or is nothing at all (Unicode, 4.5)."""


def escaped(text: str) -> str:
    """For between tags and for attributes: a character that cannot be seen as itself is shown by its number."""
    return "".join(
        f"[U+{ord(letter):04X}]"
        if letter not in JOINERS and unicodedata.category(letter) in UNSEEN
        else html.escape(letter)
        for letter in text
    )


def isolated(text: str, most: int) -> str:
    """The first ``most`` characters, in an element that keeps the text's direction to itself."""
    shown = text if len(text) <= most else f"{text[:most]}…"
    return f'<bdi dir="auto">{escaped(shown)}</bdi>'


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int]) -> str:
    """Cells are HTML; each row's first is its heading. ``numbers``: columns that are aligned at their end."""
    kinds = ['class="n"' if column in numbers else "" for column in range(len(head))]
    parts = [f"<caption>{caption}</caption>" if caption else "", "<thead><tr>"]
    parts += [_cell("th", f'{kind} scope="col"', cell) for kind, cell in zip(kinds, head, strict=True)]
    parts.append("</tr></thead>\n<tbody>\n")
    for row in rows:
        first = _cell("th", f'{kinds[0]} scope="row"', row[0])
        rest = [_cell("td", kind, cell) for kind, cell in zip(kinds[1:], row[1:], strict=True)]
        parts.append(f"<tr>{first}{''.join(rest)}</tr>\n")
    return f'<div class="wide"><table>{"".join(parts)}</tbody></table></div>'


def _cell(tag: str, attributes: str, content: str) -> str:
    opening = f"{tag} {attributes.strip()}" if attributes.strip() else tag
    return f"<{opening}>{content}</{tag}>"
