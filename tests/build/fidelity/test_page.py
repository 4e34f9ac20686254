"""The fidelity page: sound HTML that needs nothing else, shows every figure, and no text can break out of it."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.fidelity.html import escaped, isolated
from build.fidelity.page import UNVERIFIED_PAGE, fidelity_page
from build.fidelity.report import FidelityReport
from build.quantization.record import WeightRecord
from manifest import Precision, SourceKind, Target, Task
from tests.support.bundles.fidelity_reports import TREATMENTS, a_manifest, a_report, measured

VOID = {"meta"}
MOST_BYTES = 60_000


class Page(HTMLParser):
    """Tags must nest; keeps what was opened, with its attributes, and the text of each table's rows."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.opened: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._stack: list[str] = []
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

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self._stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self._stack else ""
        if "tr" in self._stack:
            self.rows[-1][-1] += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.opened if name == tag]


def page_of(report: FidelityReport | None = None, **manifest: object) -> Page:
    return Page(fidelity_page(report or a_report(), a_manifest(**manifest)))


def test_every_figure_stands_beside_its_threshold():
    rows = page_of().rows
    assert ["Mean", "0.992375", "0.99"] in rows
    assert ["1st percentile", "0.985147", "0.975"] in rows
    assert ["Minimum", "0.985000", "0.95"] in rows


def test_model_precision_weights_and_class_are_named():
    text = page_of(model="org/some-model").text
    for words in ("org/some-model in int8", "sha256 000000000000…", "u8 x s8, exact", "CPUs of a kind."):
        assert words in text


def test_lengths_and_worst_texts_are_tables():
    rows = page_of().rows
    assert ["257 or more", "9", "0.986000", "0.985000"] in rows
    assert ["0.985000", "300", "text 60"] in rows
    assert ["0.987250", "255", "text 51"] in rows
    assert not any("text 50" in row for row in rows)


def test_what_a_text_was_asked_for_with_is_shown():
    texts = [measured(1, "one", task=Task.QUERY), measured(2, "two", prompt_name="<sts>")]
    rows = page_of(a_report(texts)).rows
    assert ["0.990000", "5", "one (task query)"] in rows
    assert ["0.990000", "5", "two (prompt <sts>)"] in rows


def test_a_weight_whose_input_was_smoothed_and_repeated_says_both():
    both = dataclasses.replace(TREATMENTS[2], smoothing=0.35)
    text = page_of(a_report(treatments=(both,))).text
    assert (
        "SmoothQuant with alpha 0.35, input channels: 16 added by repeating the largest, by a node of its own" in text
    )


def test_weights_that_were_treated_alike_are_grouped():
    page = page_of()
    assert len(page.attributes("details")) == 4
    for summary in (
        "2 weights: int8, one scale per column; rounded by gptq; SmoothQuant with alpha 0.75, folded into the layer",
        "1 weight: int8, one scale per column; rounded by gptq; input channels: 16 added by repeating the largest",
        "1 weight: int8, one scale per row; rounded by nearest; not smoothed",
        "1 weight: fp32",
    ):
        assert summary in page.text
    assert ["layer.0.query", "384 × 384", "0.42%"] in page.rows
    assert ["layer.0.down", "1536 × 384", "–"] in page.rows


@pytest.mark.parametrize(
    ("precision", "words"), [(Precision.FP32, "Nothing: all weights are in fp32."), (Precision.INT8, "not record it")]
)
def test_without_treatments_the_page_says_why(precision: Precision, words: str):
    assert words in page_of(a_report(treatments=()), precision=precision).text


def test_it_needs_nothing_else_and_runs_nothing():
    html = fidelity_page(a_report(), a_manifest())
    page = Page(html)
    assert not {tag for tag, _ in page.opened} & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    names = {name for _, attributes in page.opened for name in attributes}
    assert not names & {"src", "href", "srcset", "xlink:href", "action", "style"}
    assert not [name for name in names if name.startswith("on")]
    assert not re.search(r"https?:|//|url\(|@import", html)
    (policy,) = [one["content"] for one in page.attributes("meta") if "http-equiv" in one]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_it_can_be_read_by_everybody_and_on_everything():
    html = fidelity_page(a_report(), a_manifest())
    page = Page(html)
    assert page.attributes("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.attributes("meta")
    assert "prefers-color-scheme:dark" in html
    charts = page.attributes("svg")
    assert len(charts) == 2
    ids = [attributes["id"] for _, attributes in page.opened if "id" in attributes]
    assert len(ids) == len(set(ids))
    for chart in charts:
        assert chart["role"] == "img"
        assert set(chart["aria-labelledby"].split()) <= set(ids)
    assert {one["scope"] for one in page.attributes("th")} == {"col", "row"}
    assert all("scope" in one for one in page.attributes("th"))


def test_the_same_report_on_the_same_files_gives_the_same_bytes_wherever_the_model_came_from():
    manifest = a_manifest()
    other = dataclasses.replace(
        manifest,
        target=Target.ARM64,
        source=dataclasses.replace(manifest.source, kind=SourceKind.PACKAGE, revision="sha256:00"),
    )
    assert fidelity_page(a_report(), manifest) == fidelity_page(a_report(), other)


def test_a_page_about_hundreds_of_weights_is_small():
    texts = [measured(n, "漢" * 2000, tokens=n, cosine=1 - n / 1000) for n in range(1, 241)]
    weights = tuple(
        WeightRecord(f"onnx::MatMul_{n}", (1024, 3072), "int8, one scale per column", 0.75, 0, True, "gptq", n / 1e5)
        for n in range(300)
    )
    assert len(fidelity_page(a_report(texts, weights), a_manifest()).encode()) < MOST_BYTES


EVIL = "</td></bdi><script>alert(\"1\")</script><b onclick='x'>&amp;"


def test_no_text_breaks_out():
    weight = dataclasses.replace(TREATMENTS[0], weight=EVIL, storage=EVIL, rounding=EVIL)
    report = a_report([measured(1, EVIL, prompt_name=EVIL)], (weight,))
    report = dataclasses.replace(
        report, classes={EVIL: dataclasses.replace(report.classes["u8 x s8, exact"], cpus=EVIL)}
    )
    page = page_of(report, model=EVIL)
    assert {tag for tag, _ in page.opened} == {tag for tag, _ in page_of().opened} | {"span"}
    assert page.text.count(EVIL) == 9
    assert not any("onclick" in attributes for _, attributes in page.opened)


@given(st.text().filter(lambda text: "[U+" not in text))
def test_any_text_is_shown_whole_and_nothing_of_it_steers(text: str):
    shown = escaped(text)
    assert not set(shown) & set("<>\"'")
    for letter in shown:
        assert letter in "\u200c\u200d" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    shown.encode()
    told = Page(f"<p>{shown}</p>").text
    assert re.sub(r"\[U\+([0-9A-F]+)\]", lambda found: chr(int(found[1], 16)), told) == text


def test_characters_that_cannot_be_seen_are_shown_by_their_numbers():
    assert escaped("a\u202eb\u2066\x1b\0\ud800\u2028\n") == (
        "a[U+202E]b[U+2066][U+001B][U+0000][U+D800][U+2028][U+000A]"
    )
    assert escaped("👩\u200d🔬 می\u200cخواهم é") == "👩\u200d🔬 می\u200cخواهم é"


def test_a_long_text_is_cut():
    assert isolated("x" * 11, 10) == f'<bdi dir="auto">{"x" * 10}…</bdi>'
    assert isolated("x" * 10, 10) == f'<bdi dir="auto">{"x" * 10}</bdi>'


def test_what_is_not_verified_says_so():
    assert "Not verified." in Page(UNVERIFIED_PAGE).text
