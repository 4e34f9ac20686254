"""docs/reliability.md: each case has a test that exists, and what it says of limits is what the server has."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.pages import section, table
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()
HEADINGS = ("## Load", "## Clients that leave", "## Clients that are slow or send too much")
ROWS = [row for heading in (*HEADINGS, "## Starting, stopping, failing") for row in table(section(PAGE, heading))]
LIMITS = (ROOT / "runtime" / "http" / "limits.py").read_text()


def names_in(file: str) -> set[str]:
    """The names of the tests in a file below ``tests``."""
    tree = ast.parse((ROOT / "tests" / file).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_each_case_has_a_test(row: list[str]):
    case, happens, test = row
    assert case
    assert happens
    file, name = re.fullmatch(r"`([\w/]+\.py)::(\w+)`", test).groups()
    assert name in names_in(file)


@pytest.mark.parametrize(
    ("limit", "case", "sentence"),
    [
        (r"^    head: float = (\d+)\.0$", "a head that does not end", "closed after {} s"),
        (r"^    max_head: int = (\d+) \* 1024$", "a head of more than 32 KiB", ""),
        (r"^    body: float = (\d+)\.0$", "a body that does not arrive", "408 after {} s"),
        (r"^    write: float = (\d+)\.0$", "an answer that is not read", "closed after {} s without progress"),
        (r"^    stall: float = (\d+)\.0$", "a body that stalls while others wait for memory", "408 after {} s"),
        (r"^    close: float = (\d+)\.0$", "1,000 connections that stay", "closed after {} s"),
    ],
)
def test_limits_are_those_of_the_server(limit: str, case: str, sentence: str):
    (value,) = re.findall(limit, LIMITS, re.MULTILINE)
    (row,) = [row for row in ROWS if row[0].startswith(case)]
    assert sentence.format(value) in row[1]
    assert sentence or f"{value} KiB" in row[0]


def test_there_are_as_many_callers_and_connections_as_it_says():
    memory = (ROOT / "tests" / "server" / "process" / "test_memory.py").read_text()
    (callers,) = re.findall(r"^CALLERS = (\d+)$", memory, re.MULTILINE)
    (megabytes,) = re.findall(r"^MACHINE_MB = (\d+)$", memory, re.MULTILINE)
    assert f"| {callers} callers with a megabyte each on a machine with {megabytes} MB |" in PAGE
    abuse = (ROOT / "tests" / "server" / "test_abuse.py").read_text()
    (normal,) = re.findall(r"^NORMAL_CALLERS = (\d+)$", abuse, re.MULTILINE)
    assert f"{normal} other callers lose nothing" in PAGE
    (connections,) = re.findall(r"^CONNECTIONS = (\d+)$", abuse, re.MULTILINE)
    half = int(connections) // 2
    assert f"| {half} slow heads and {half} slow bodies |" in PAGE
    assert f"| {int(connections):,} connections that stay" in PAGE
