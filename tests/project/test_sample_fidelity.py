"""The sample fidelity page of the docs: a page of the default model as today's builds write it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.bundles.fidelity_pages import Page
from tests.support.paths import ROOT

SAMPLE = ROOT / "docs" / "sample-fidelity.html"


def structure(page: str) -> list[str]:
    """Headings, captions and header cells, without figures."""
    found = re.findall(r"<(h1|h2|h3|caption|th|dt)\b[^>]*>(.*?)</\1>", page, re.DOTALL)
    return list(dict.fromkeys(f"{tag} {re.sub(r'<[^>]+>|[0-9.,]+', '', text).strip()}" for tag, text in found))


def test_the_sample_has_the_structure_of_a_page_that_is_built_today(default_bundle: Path):
    """If it has not: make bundle, and copy the bundle's fidelity.html."""
    built = (default_bundle / "fidelity.html").read_text(encoding="utf-8")
    sample = SAMPLE.read_text(encoding="utf-8")
    assert structure(sample) == structure(built)
    assert (
        re.search(r"<style>(.*?)</style>", sample, re.DOTALL)[1]
        == re.search(r"<style>(.*?)</style>", built, re.DOTALL)[1]
    )


def test_the_sample_is_whole_and_says_whose_it_is():
    page = Page(SAMPLE.read_text(encoding="utf-8"))
    assert "all-MiniLM-L6-v2" in page.text
    assert not [tag for tag, _ in page.opened if tag == "script"]
