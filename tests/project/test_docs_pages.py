"""Every page: links lead on, spelling is the same, and commands, targets, variables and options exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from build.fidelity.thresholds import OPTIONS
from tests.support.pages import MAKEFILE, PAGES, READ, README, in_code
from tests.support.paths import ROOT


def anchors(page: Path) -> set[str]:
    """What a heading's link is called, as GitHub and others make it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = [
    pytest.param(page, target, id=f"{page.name}-{target}")
    for page in PAGES
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text())
    if not target.startswith("http")
]


@pytest.mark.parametrize(("page", "target"), LINKS)
def test_links_lead_to_a_file_and_a_heading(page: Path, target: str):
    name, _, anchor = target.partition("#")
    file = page.parent / name if name else page
    assert file.is_file()
    assert not anchor or anchor in anchors(file)


BRITISH = re.compile(
    r"licence|neighbour|behaviour|honour|colour|favour|centre|cancelled|"
    r"(?:quant|normal|token|summar|optim|initial|organ|real|recogn|serial)is(?:e|es|ed|ing|ation)\b",
    re.IGNORECASE,
)
"""Words that American English spells otherwise."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_spelling_and_names_are_the_same_everywhere(page: Path):
    prose = re.sub(r"^```.*?^```$|`[^`\n]+`|\]\([^)]*\)", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert BRITISH.findall(prose) == []
    assert not re.search(r"[«»]|huggingface", prose, re.IGNORECASE)


@pytest.mark.parametrize("root", ["Makefile", "quantize.py", "manifest.py", "build", "runtime", "sections"])
def test_messages_spell_the_hubs_name_as_pages_do(root: str):
    files = [ROOT / root] if (ROOT / root).is_file() else [*(ROOT / root).rglob("*.py")]
    assert files
    assert [file.name for file in files if "HuggingFace" in file.read_text()] == []


def test_every_page_is_linked_from_the_readme():
    linked = {(ROOT / name).resolve() for name in re.findall(r"\]\(([\w./-]+\.md)[)#]", README)}
    assert linked == {*PAGES} - {ROOT / "README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
class TestCommands:
    """In every page."""

    @staticmethod
    def blocks(page: Path) -> list[str]:
        return re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)

    def test_shell_blocks_are_valid_shell(self, page: Path):
        for block in self.blocks(page):
            subprocess.run(["bash", "-n"], input=block, text=True, check=True)

    def test_make_targets_exist(self, page: Path):
        commands = [*self.blocks(page), *in_code(page.read_text())]
        targets = {
            name for text in commands for name in re.findall(r"^(?:\w+=\S+ )*make ([a-z][\w-]*)", text, re.MULTILINE)
        }
        assert [name for name in targets if not re.search(rf"^{name}:", MAKEFILE, re.MULTILINE)] == []

    def test_variables_of_make_are_listed_by_its_help(self, page: Path):
        commands = [*self.blocks(page), *in_code(page.read_text())]
        lines = [line for text in commands for line in text.splitlines() if re.match(r"(?:\w+=\S+ )*make [a-z]", line)]
        given = {name for line in lines for name in re.findall(r" ([A-Z][A-Z0-9_]+)=", line.split(" #")[0])}
        assert [name for name in given if not re.search(rf"\b{name}\b", MAKEFILE) and name not in READ] == []

    def test_options_of_the_build_exist(self, page: Path):
        flags = {
            flag
            for line in re.findall(r"\./quantize\.py.*", page.read_text())
            for flag in re.findall(r" (--[a-z][a-z0-9-]+)", line)
        }
        known = {
            *(
                flag
                for name in ("build/cli.py", "build/model/trust.py")
                for flag in re.findall(r'"(--[a-z][a-z-]+)"', (ROOT / name).read_text())
            ),
            *(option.flag for option in OPTIONS),
        }
        assert flags <= {*known, "--help"}
