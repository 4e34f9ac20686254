"""The project's pages, and how tests read them."""

from __future__ import annotations

import re

from tests.support.paths import ROOT

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
MODELS = (ROOT / "docs" / "models.md").read_text()
SETTINGS = (ROOT / "runtime" / "settings.py").read_text()


def section(text: str, heading: str) -> str:
    """What stands below a heading, without what stands below the headings in it."""
    return text.split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]


def table(text: str) -> list[list[str]]:
    """The cells of the first table, without its head."""
    lines = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert lines
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()[2:]]


def in_code(text: str) -> set[str]:
    """What a page shows as code within its sentences."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"`([^`\n]+)`", prose))


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", text)


READ = set(re.findall(r'\b(?:read|environment\.get)\(\s*"([A-Z0-9_]+)"', SETTINGS))
"""The settings that the runtime reads."""
