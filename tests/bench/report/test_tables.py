"""Markdown tables."""

from __future__ import annotations

from bench.report.tables import table


def test_tables_are_markdown_with_equal_lines():
    lines = table(["name", "n"], [["a", "1"], ["longer", "22"]], left=1).splitlines()
    assert lines == ["| name   |  n |", "| ------ | -: |", "| a      |  1 |", "| longer | 22 |"]
