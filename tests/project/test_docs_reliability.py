"""docs/reliability.md: each case has a test that exists, and what it says of limits is what the server has."""

from __future__ import annotations

import ast
import re
from xml.etree import ElementTree

import pytest

from bench.soak.__main__ import IN_FLIGHT, LEAVERS, MINUTES, RESTART_SECONDS, SLOW
from bench.soak.callers.crowd import SLOW_PAUSE, SLOW_PIECES
from bench.soak.callers.probes import SAMPLED, TEXTS
from bench.soak.plan import FOLLOW_SECONDS, WARM_UP_SECONDS
from bench.soak.verdict import MAX_DESCRIPTORS_LEFT, MAX_DESCRIPTORS_PER_HOUR, MAX_RSS_MB_PER_HOUR, MAX_RSS_RISE_MB
from tests.support.pages import section, table
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text()
HEADINGS = ("## Load", "## Clients that leave", "## Clients that are slow or send too much")
ROWS = [
    row
    for heading in (*HEADINGS, "## Bad images", "## Starting, stopping, failing")
    for row in table(section(PAGE, heading))
]
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


class TestSoak:
    SECTION = " ".join(section(PAGE, "## Soak").split())

    def test_callers_and_bounds_are_those_of_the_command(self):
        assert (MINUTES, SAMPLED) == (10, 1 / 8)
        for sentence in (
            f"| {IN_FLIGHT} in flight |",
            f"| {LEAVERS} | leave",
            f"| {SLOW} | send a request, or read an answer, in {SLOW_PIECES} pieces",
            f"over {SLOW_PIECES * SLOW_PAUSE:g} s |",
            f"**A replacement every {RESTART_SECONDS / 60:g} minutes**",
            f"Callers follow {FOLLOW_SECONDS:g} s later",
            f"one of {TEXTS} texts of all lengths",
            f"begins {WARM_UP_SECONDS:g} s after a server was ready",
            f"above {MAX_RSS_MB_PER_HOUR:g} MB or {MAX_DESCRIPTORS_PER_HOUR:g} file descriptors an hour",
            f"has {MAX_RSS_RISE_MB:g} MB more than before",
            f"more than {MAX_DESCRIPTORS_LEFT} file descriptors stay open",
        ):
            assert sentence in self.SECTION

    def test_the_picture_is_of_as_many_replacements_as_the_table(self):
        picture = ElementTree.parse(ROOT / "docs" / "soak.svg").getroot()
        servers = re.findall(r"^\| \d +\|(?: [^|]+\|){10}$", section(PAGE, "## Soak"), re.MULTILINE)
        assert picture.find("{http://www.w3.org/2000/svg}title").text == (
            f"600 s under load, with {len(servers) - 1} replacements"
        )
