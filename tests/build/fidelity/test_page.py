"""The fidelity page: valid HTML that needs nothing else and shows every figure, and no text can break out of it."""

from __future__ import annotations

import dataclasses
import math
import re
import unicodedata
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build.fidelity.cpu_classes import CpuClass
from build.fidelity.page import JOINERS, SHOWN_CHARACTERS, fidelity_page, make_visible, span_of
from build.fidelity.page_sections import SHOWN_WEIGHTS, YARDSTICK, by_error
from build.fidelity.report import ClassFigures, FidelityReport, LengthFigures
from build.fidelity.thresholds import Thresholds
from build.quantization.record import WeightRecord
from manifest import CosineFigures, Precision, SourceKind, Target, Task
from tests.support.bundles.fidelity_reports import WEIGHT_RECORDS, a_manifest, a_report, measured
from tests.support.paths import ROOT

VOID = {"meta", "br", "wbr"}
MOST_BYTES = 60_000


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


def with_cosine(**values: object) -> FidelityReport:
    report = a_report()
    return dataclasses.replace(report, cosine=dataclasses.replace(report.cosine, **values))


def class_figures(mean: float = 0.995, p1: float = 0.99, minimum: float = 0.98, name: str = "other") -> ClassFigures:
    return ClassFigures(CpuClass(name, f"CPUs of {name}", "They round."), CosineFigures(60, mean, p1, minimum))


def test_the_title_names_model_and_precision():
    html = html_of(model="org/some-model")
    assert "<title>Fidelity report: org/some-model (int8)</title>" in html
    assert Page(html).text.count("Fidelity report: org/some-model (int8)") == 2


def test_the_page_begins_with_the_verdict_and_the_three_figures():
    text = page_of().text
    verdict = text[text.index("Passed") : text.index("What the numbers mean")]
    assert "are as close to those of the original model in fp32 as required. Cosines on 60 held-out texts" in verdict
    for words in ("Mean0.992375required 0.99", "1st percentile0.985147required 0.975", "Minimum0.985000required 0.95"):
        assert words in verdict
    assert "Failed" not in text


@pytest.mark.parametrize(
    ("thresholds", "short"),
    [
        (Thresholds(0.993, 0.975, 0.95), ["0.992375"]),
        (Thresholds(0.99, 0.986, 0.95), ["0.985147"]),
        (Thresholds(0.99, 0.975, 0.9851), ["0.985000"]),
        (Thresholds(1, 1, 1), ["0.992375", "0.985147", "0.985000"]),
    ],
)
def test_a_figure_below_its_threshold_fails_the_bundle_and_is_marked(thresholds: Thresholds, short: list[str]):
    html = html_of(with_cosine(thresholds=thresholds))
    assert "Failed" in Page(html).text
    assert "are not as close to those of the original" in Page(html).text
    assert "Passed" not in Page(html).text
    assert re.findall(r'<td class="n short">(\S+)</td>', html) == short


@pytest.mark.parametrize("minimum", [0.949, math.nan])
def test_a_later_class_can_fail_the_bundle(minimum: float):
    first = a_report().cosine.classes[0]
    assert "Passed" in page_of(with_cosine(classes=(first, class_figures()))).text
    assert "Failed" in page_of(with_cosine(classes=(first, class_figures(minimum=minimum)))).text


def test_figures_at_their_thresholds_pass():
    assert "Passed" in page_of(with_cosine(thresholds=Thresholds(0.992375, 0.985147, 0.985))).text


def test_each_class_has_a_row_above_the_thresholds():
    first = a_report().cosine.classes[0]
    page = page_of(with_cosine(classes=(first, class_figures(name="u7 x s8"))))
    cells, other = page.row("CPUs of a kind"), page.row("CPUs of u7 x s8")
    assert cells == [
        "CPUs of a kindThey round in a certain way. Class: u8 x s8, exact.",
        "0.992375",
        "0.985147",
        "0.985000",
    ]
    assert other == ["CPUs of u7 x s8They round. Class: u7 x s8.", "0.995000", "0.990000", "0.980000"]
    assert page.row("Required") == ["Required", "0.99", "0.975", "0.95"]
    assert "The rest of this page shows the first class." in page.text
    assert "The rest of this page shows the first class." not in page_of().text


def test_the_yardstick_is_an_angle_and_plain_int8():
    page = page_of()
    assert f"The mean of 0.992375 is an angle of {math.degrees(math.acos(0.992375)):.1f}°." in page.text
    assert "This bundle0.007625" in page.text
    assert "For comparison: plain int8 of all-MiniLM-L6-v20.007150" in page.text
    widths = [float(bar["width"].rstrip("%")) for bar in page.attributes("rect") if bar["class"] in ("mean", "other")]
    assert widths[:2] == [100, pytest.approx(100 * 0.00715 / 0.007625, abs=0.06)]


def test_the_yardstick_is_what_the_docs_have_measured():
    rows = [line for line in (ROOT / "docs" / "fidelity.md").read_text().splitlines() if line.startswith("| held-out")]
    measured = [re.findall(r"\d\.\d+", row) for row in rows]
    figures = {(mean, neighbors) for mean, *_, neighbors in measured}
    assert (f"{YARDSTICK.plain_int8:.5f}", f"{YARDSTICK.plain_int8_neighbors:.3f}") in figures
    assert (f"{YARDSTICK.int8:.5f}", f"{YARDSTICK.int8_neighbors:.3f}") in figures


def test_lengths_and_worst_texts_are_tables():
    rows = page_of().rows
    assert ["257 or more", "9", "0.986000", "0.985000", ""] in rows
    assert ["0.985000", "300", "text 60"] in rows
    assert ["0.987250", "255", "text 51"] in rows
    assert not any("text 50" in row for row in rows)


def test_the_histogram_counts_every_text():
    page = page_of()
    html = html_of()
    assert sum(map(int, re.findall(r'<text class="count"[^>]*>(\d+)</text>', html))) == 60
    assert "60 texts in 16 bins from 0.984 to 1.000." in page.text


def test_the_request_of_a_text_is_shown():
    texts = [measured(1, "one", task=Task.QUERY), measured(2, "two", prompt_name="<sts>")]
    rows = page_of(a_report(texts)).rows
    assert ["0.990000", "5", "one (task: query)"] in rows
    assert ["0.990000", "5", "two (prompt: <sts>)"] in rows


def test_weights_are_sorted_by_error_and_say_what_sets_them_apart():
    rows = page_of().rows
    weights = rows[rows.index(["Weight", "Error"]) + 1 :]
    assert weights == [
        ["layer.1.query384 × 384, SmoothQuant, alpha 0.75", "0.51%"],
        ["layer.0.query384 × 384, SmoothQuant, alpha 0.75", "0.42%"],
        ["layer.0.down1536 × 384, 16 channels split, scaled by a separate node", "–"],
        ["table30522 × 384, int8, one scale per row, rounded to nearest", "–"],
        ["positions512 × 384, fp32", "–"],
    ]
    text = page_of().text
    assert (
        "5 weights, the largest error first. Unless a row says otherwise: int8, one scale per column, rounded wi"
        in text
    )
    assert "Error: relative RMS error of the layer's output on the calibration texts." in text


def test_a_weight_whose_input_was_smoothed_and_split_says_both():
    both = dataclasses.replace(WEIGHT_RECORDS[2], smoothing=0.35)
    assert page_of(a_report(weight_records=(both,))).rows[-1] == [
        "layer.0.down1536 × 384, SmoothQuant, alpha 0.35, 16 channels split, scaled by a separate node",
        "–",
    ]


@pytest.mark.parametrize(("count", "on_demand"), [(1, 0), (SHOWN_WEIGHTS, 0), (SHOWN_WEIGHTS + 3, 3)])
def test_the_largest_errors_are_shown_at_once_and_the_others_on_demand(count: int, on_demand: int):
    records = tuple(dataclasses.replace(WEIGHT_RECORDS[0], weight=f"w{n}.", error=n / 1000) for n in range(count))
    html = html_of(a_report(weight_records=records))
    shown, _, others = html.partition("<details>")
    assert len(re.findall(r'<th scope="row">w\d+', shown)) == min(count, SHOWN_WEIGHTS)
    assert len(re.findall(r'<th scope="row">w\d+', others)) == on_demand
    assert f'<th scope="row">w{count - 1}.<' in shown
    assert (f"Show the other {on_demand}<" in html) == bool(on_demand)


def test_weights_without_an_error_come_last_and_keep_their_order():
    records = [
        dataclasses.replace(WEIGHT_RECORDS[0], weight=name, error=error)
        for name, error in (("a", None), ("b", 0.1), ("c", None), ("d", 0.0), ("e", 0.1))
    ]
    assert "".join(record.weight for record in by_error(records)) == "bedac"


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        (Precision.FP32, "All weights are in fp32, as in the original."),
        (Precision.INT8, "This build recorded nothing about its weights."),
    ],
)
def test_without_records_of_weights_the_page_says_why(precision: Precision, words: str):
    assert words in page_of(a_report(weight_records=()), precision=precision).text


@pytest.mark.parametrize("precision", Precision)
def test_the_facts_say_what_the_precision_means(precision: Precision):
    assert re.fullmatch(rf"{precision}\. Weights .+\.", page_of(precision=precision).facts["Precision"])


def test_the_facts_name_the_project_version_the_cpus_and_the_files():
    report = with_cosine(classes=(a_report().cosine.classes[0], class_figures(name="u7")))
    facts = page_of(report).facts
    assert facts["Built with"] == "cpu2vec 1.2.3"
    assert facts["Verified for"] == "CPUs of a kind\nCPUs of u7"
    hashes = {name: entry.sha256 for name, entry in a_manifest().files.items()}
    assert facts["Files"] == "\n".join(
        f"{name}, sha256 {hashes[name][:12]}…" for name in ("model.onnx", "model.onnx.data", "tokenizer.json")
    )
    assert "docs/fidelity.md" in facts["More"]
    assert "Kernels" not in facts


def test_the_facts_say_why_graphs_run_on_stock_kernels():
    report = a_report(stock_kernels={"query": "the native kernels have no t5"})
    assert page_of(report).facts["Kernels"] == "onnxruntime's own kernels run query: the native kernels have no t5."


@pytest.mark.parametrize(
    ("model", "link"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2"),
        ("my-model", None),
        ("../my-model", None),
        ("org/model?x", None),
        ("org/model/tree", None),
        ("javascript:alert/1", None),
        ("orgé/model", None),
    ],
)
def test_an_id_of_the_hub_is_a_link(model: str, link: str | None):
    page = page_of(model=model)
    assert [one["href"] for one in page.attributes("a")] == ([link] if link else [])
    assert page.facts["Model"] == model


def test_a_report_without_cosines_has_facts_and_weights_alone():
    page = page_of(dataclasses.replace(a_report(), cosine=None))
    headings = re.findall(r"<h2>([^<]+)</h2>", html_of(dataclasses.replace(a_report(), cosine=None)))
    assert headings == ["How each weight was quantized", "About this bundle"]
    assert "osine" not in page.text
    assert "Verified for" not in page.facts


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
