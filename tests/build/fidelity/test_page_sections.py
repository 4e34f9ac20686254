"""The sections of the fidelity page: the verdict, the yardstick, lengths, texts, weights, facts."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest

from build.fidelity.page_sections import SHOWN_WEIGHTS, YARDSTICK, by_error
from build.fidelity.thresholds import Thresholds
from build.kinds import static, text
from manifest import Kind, Precision, Task
from tests.support.bundles.fidelity_pages import Page, class_figures, html_of, page_of, with_cosine
from tests.support.bundles.fidelity_reports import WEIGHT_RECORDS, a_manifest, a_report, measured
from tests.support.paths import ROOT


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
    page = page_of(with_cosine(classes=(first, class_figures(name="s4 x s8"))))
    cells, other = page.row("CPUs of a kind"), page.row("CPUs of s4 x s8")
    assert cells == [
        "CPUs of a kindThey round in a certain way. Class: u8 x s8, exact.",
        "0.992375",
        "0.985147",
        "0.985000",
    ]
    assert other == ["CPUs of s4 x s8They round. Class: s4 x s8.", "0.995000", "0.990000", "0.980000"]
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


@pytest.mark.parametrize("precision", text.PRECISIONS)
def test_the_facts_say_what_the_precision_means(precision: Precision):
    assert re.fullmatch(rf"{precision}\. Weights .+\.", page_of(precision=precision).facts["Precision"])


@pytest.mark.parametrize("precision", static.PRECISIONS)
def test_the_facts_say_what_it_means_for_a_static_model(precision: Precision):
    facts = page_of(kind=Kind.STATIC, precision=precision).facts
    assert re.fullmatch(rf"{precision}\. The table.+\.", facts["Precision"])


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
