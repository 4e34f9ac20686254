"""Fidelity pages, as a reader and a browser take them."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser
from typing import Any

from build.fidelity.cpu_classes import CpuClass
from build.fidelity.page import fidelity_page
from build.fidelity.report import ClassFigures, FidelityReport
from manifest import CosineFigures
from tests.support.bundles.fidelity_reports import a_manifest, a_report

VOID = {"meta", "br", "wbr"}


class Page(HTMLParser):
    """Tags must nest; keeps what was opened, with its attributes, and the text of each table's rows."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.opened: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.facts: dict[str, str] = {}
        self.text = ""
        self._stack: list[str] = []
        self._term = ""
        self.feed(text)
        self.close()
        assert self._stack == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, dict(attributes)))
        if tag not in VOID:
            self._stack.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "dt":
            self._term = ""
        if tag == "br" and "dd" in self._stack:
            self.facts[self._term] += "\n"

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self._stack else ""
        if "tr" in self._stack:
            self.rows[-1][-1] += data
        if "dt" in self._stack:
            self._term += data
        if "dd" in self._stack:
            self.facts[self._term] = self.facts.get(self._term, "") + data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.opened if name == tag]

    def row(self, first: str) -> list[str]:
        """The only row whose first cell begins like this."""
        (found,) = (row for row in self.rows if row[0].startswith(first))
        return found


def html_of(report: FidelityReport | None = None, **manifest: object) -> str:
    return fidelity_page(report or a_report(), a_manifest(**manifest))


def page_of(report: FidelityReport | None = None, **manifest: object) -> Page:
    return Page(html_of(report, **manifest))


def with_cosine(**values: Any) -> FidelityReport:
    report = a_report()
    assert report.cosine
    return dataclasses.replace(report, cosine=dataclasses.replace(report.cosine, **values))


def class_figures(mean: float = 0.995, p1: float = 0.99, minimum: float = 0.98, name: str = "other") -> ClassFigures:
    return ClassFigures(CpuClass(name, f"CPUs of {name}", "They round."), CosineFigures(60, mean, p1, minimum))
