"""The programs of docs/clients.md, run as they are written against a real server, but for its port."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.programs.debian import program
from tests.support.server.server_process import Server, ready

PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
SHOWN = re.compile(r"```(?:sh|python|javascript)\n(?P<code>[^`]*)```\n\n```text\n(?P<output>[^`]*)```")
SECTIONS = dict(section.split("\n", 1) for section in PAGE.split("\n## ")[1:])
SNIPPETS = {heading: match for heading, text in SECTIONS.items() if (match := SHOWN.search(text))}
PROGRAMS = {"curl": ["bash", "-euo", "pipefail", "-c"], "Python": [sys.executable, "-c"], "JavaScript": ["node", "-e"]}


@pytest.fixture(scope="module")
def server(default_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready(default_bundle, tmp_path_factory.mktemp("snippets") / "log") as server:
        yield server


def test_every_snippet_that_shows_what_it_prints_is_run():
    assert list(SNIPPETS) == list(PROGRAMS)


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_snippet_prints_what_the_page_shows(language: str, server: Server):
    command = PROGRAMS[language]
    if language == "JavaScript":
        program("node", "nodejs")
    assert "localhost:8080" in SNIPPETS[language]["code"]
    code = SNIPPETS[language]["code"].replace("localhost:8080", f"127.0.0.1:{server.port}")
    result = subprocess.run([*command, code], capture_output=True, text=True, timeout=PATIENCE)
    assert (result.stderr, result.stdout) == ("", SNIPPETS[language]["output"])


def test_the_snippet_for_weaviates_client_is_valid_python_and_says_that_it_was_not_run():
    section = PAGE.split("## Weaviate's Python client")[1]
    ast.parse(re.search(r"```python\n(.*?)```", section, re.DOTALL)[1])
    assert "has\nnot been run" in section
