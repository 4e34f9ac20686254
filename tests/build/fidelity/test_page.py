"""The fidelity page: valid HTML that needs nothing else, and no text can break out of it."""

from __future__ import annotations

import dataclasses
import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build.fidelity.cpu_classes import CpuClass
from build.fidelity.page import JOINERS, SHOWN_CHARACTERS, fidelity_page, make_visible, span_of
from build.fidelity.report import LengthFigures
from build.fidelity.thresholds import Thresholds
from build.quantization.record import WeightRecord
from manifest import SourceKind, Target, Task
from tests.support.bundles.fidelity_pages import Page, html_of, page_of, with_cosine
from tests.support.bundles.fidelity_reports import WEIGHT_RECORDS, a_manifest, a_report, measured

MOST_BYTES = 60_000


def test_the_title_names_model_and_precision():
    html = html_of(model="org/some-model")
    assert "<title>Fidelity report: org/some-model (int8)</title>" in html
    assert Page(html).text.count("Fidelity report: org/some-model (int8)") == 2


def test_it_needs_nothing_else_and_runs_nothing():
    html = html_of(model="org/model")
    page = Page(html)
    assert not {tag for tag, _ in page.opened} & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    names = {name for tag, attributes in page.opened for name in attributes if (tag, name) != ("a", "href")}
    assert not names & {"src", "href", "srcset", "xlink:href", "action", "style"}
    assert not [name for name in names if name.startswith("on")]
    assert re.findall(r"https?:[^\"]*|//|url\(|@import", html) == ["https://huggingface.co/org/model"]
    (policy,) = [one["content"] for one in page.attributes("meta") if "http-equiv" in one]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_it_can_be_read_by_everybody_and_on_everything():
    html = html_of()
    page = Page(html)
    assert page.attributes("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.attributes("meta")
    assert "@media (prefers-color-scheme: dark)" in html
    assert "@media (max-width: 36rem)" in html
    ids = [attributes["id"] for _, attributes in page.opened if "id" in attributes]
    assert len(ids) == len(set(ids))
    images = [chart for chart in page.attributes("svg") if chart.get("role") == "img"]
    assert [set(chart["aria-labelledby"].split()) <= set(ids) for chart in images] == [True]
    hidden = [chart for chart in page.attributes("svg") if chart.get("aria-hidden") == "true"]
    inner = [chart for chart in page.attributes("svg") if chart.keys() == {"y", "width", "height"}]
    assert len(images) + len(hidden) + len(inner) == len(page.attributes("svg"))
    assert {cell.get("scope") for cell in page.attributes("th")} == {"col", "row"}


def test_text_in_charts_is_not_scaled_with_the_screen():
    """A view box would shrink the labels on a phone."""
    scaled = [attributes["class"] for tag, attributes in page_of().opened if "viewbox" in attributes]
    assert scaled == ["mark"]


def test_every_class_of_the_markup_has_a_style_and_the_other_way_round():
    html = html_of(with_cosine(thresholds=Thresholds(1, 1, 1))) + html_of(
        a_report([measured(1, "one", task=Task.QUERY), measured(2, "two", cosine=0.98)])
    )
    style, _, body = html.partition("</style>")
    body = re.sub(r"<style>.*?</style>", "", body, flags=re.DOTALL)
    used = {name for names in re.findall(r'class="([^"]+)"', body) for name in names.split()}
    styled = set(re.findall(r"\.([a-z]+)\b(?=[^{}]*\{)", style))
    assert styled <= used
    assert used - styled == {"start"}


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
    assert len(html_of(a_report(texts, weights)).encode()) < MOST_BYTES


EVIL = "</td></bdi><script>alert(\"1\")</script><b onclick='x'>&amp;{{ 7 * 7 }}"


def page_with(text: str) -> Page:
    """A page that has the text wherever a text can come from outside."""
    weight = dataclasses.replace(WEIGHT_RECORDS[0], weight=text, storage=text, rounding=text)
    report = a_report([measured(1, text, prompt_name=text)], (weight,), {text: text})
    found = dataclasses.replace(report.cosine.classes[0], cpu_class=CpuClass(text, text, text))
    report = dataclasses.replace(report, cosine=dataclasses.replace(report.cosine, classes=(found,)))
    return page_of(report, model=text)


def test_no_text_breaks_out():
    evil, harmless = page_with(EVIL), page_with("harmless")
    assert evil.text.count(EVIL) == harmless.text.count("harmless") == 14
    assert [found for found in evil.opened if found[0] != "wbr"] == harmless.opened


TEXTS = st.text().filter(lambda text: "[U+" not in text)


def steers(letter: str) -> bool:
    return letter not in JOINERS and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def original_of(visible: str) -> str:
    return re.sub(r"\[U\+([0-9A-F]+)\]", lambda found: chr(int(found[1], 16)), visible)


@given(TEXTS)
def test_any_text_can_be_read_back_and_nothing_of_it_steers(text: str):
    visible = make_visible(text)
    visible.encode()
    assert not any(map(steers, visible))
    assert original_of(visible) == text


@settings(max_examples=20, deadline=None)
@given(TEXTS.filter(lambda text: len(text) <= SHOWN_CHARACTERS))
def test_the_page_shows_any_text_whole_and_nothing_of_it_steers(text: str):
    html = html_of(a_report([measured(1, text)]))
    html.encode()
    assert not any(map(steers, set(html) - {"\n"}))
    (shown,) = (row[2] for row in Page(html).rows if row[:2] == ["0.990000", "5"])
    assert original_of(shown) == text


def test_invisible_characters_are_shown_as_code_points():
    assert make_visible("a\u202eb\u2066\x1b\0\ud800\u2028\n") == (
        "a[U+202E]b[U+2066][U+001B][U+0000][U+D800][U+2028][U+000A]"
    )
    assert make_visible("👩\u200d🔬 می\u200cخواهم é") == "👩\u200d🔬 می\u200cخواهم é"


@pytest.mark.parametrize(("length", "ends"), [(SHOWN_CHARACTERS, "x"), (SHOWN_CHARACTERS + 1, "x…")])
def test_a_long_text_is_cut_and_keeps_its_direction_to_itself(length: int, ends: str):
    html = html_of(a_report([measured(1, "x" * length)]))
    assert f'<bdi dir="auto">{"x" * SHOWN_CHARACTERS}{ends[1:]}</bdi>' in html


def test_a_span_of_lengths_is_named_by_its_ends():
    assert span_of(LengthFigures(9, 16, 1, 1.0, 1.0)) == "9–16"
    assert span_of(LengthFigures(257, None, 1, 1.0, 1.0)) == "257 or more"
