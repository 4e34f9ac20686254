"""The page and the summary of a reranker: verdict, classes of CPUs, worst queries."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import pytest

from build.fidelity.cpu_classes import EXACT_INTEGERS, PER_TOKEN
from build.fidelity.report import ClassScores, FidelityReport, QueryScores, ScoreReport
from build.fidelity.summary import score_rows
from build.fidelity.thresholds import ScoreThresholds
from manifest import ScoreFigures, to_json
from tests.support.bundles.fidelity_pages import Page, html_of
from tests.support.bundles.fidelity_reports import WEIGHT_RECORDS

FIGURES = ScoreFigures(256, 0.01, 0.05, 0.0123, 0.987, 0.96875)
FIRST = ClassScores(PER_TOKEN, FIGURES, ScoreThresholds(0.95, 0.95, 0.03))
SECOND = ClassScores(EXACT_INTEGERS, dataclasses.replace(FIGURES, error_rms=0.04), ScoreThresholds(0.95, 0.95, 0.05))
WORST = (QueryScores("<b>ferry\u202e</b>", 0.75, 0.09), QueryScores("图书馆", 0.8, 0.02))


def report(*classes: ClassScores) -> FidelityReport:
    return FidelityReport(None, WEIGHT_RECORDS, {}, ScoreReport(classes, WORST))


def page(*classes: ClassScores) -> Page:
    return Page(html_of(report(*classes)))


def test_the_page_begins_with_the_verdict_and_the_three_figures():
    text = page(FIRST, SECOND).text
    verdict = text[text.index("Passed") : text.index("What the numbers mean")]
    assert (
        "The scores that this bundle serves are as close to those of the original model in fp32 as required." in verdict
    )
    assert "Logits of 256 held-out pairs of a query and a document" in verdict
    for words in (
        "Kendall's tau0.9870required 0.95",
        "Share of best documents kept0.9688required 0.95",
        "RMS error by spread0.0123required 0.03",
    ):
        assert words in verdict
    assert "Failed" not in text
    assert "Cosine" not in text


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"rank_agreement": 0.94}, ["0.9400"]),
        ({"top_kept": 0.9}, ["0.9000"]),
        ({"error_rms": 0.031}, ["0.0310"]),
        ({"error_rms": math.nan}, ["nan"]),
    ],
)
def test_a_figure_beyond_its_threshold_fails_the_bundle_and_is_marked(changed: dict[str, Any], shown: list[str]):
    html = html_of(report(dataclasses.replace(FIRST, figures=dataclasses.replace(FIGURES, **changed)), SECOND))
    assert "Failed" in Page(html).text
    assert "are not as close" in Page(html).text
    assert re.findall(r'<td class="n short">(\S+)</td>', html) == shown


def test_each_class_has_a_row_with_what_it_had_to_reach():
    rows = [row for row in page(FIRST, SECOND).rows if "Class: " in row[0]]
    assert [row[1:] for row in rows] == [["0.9870", "0.9688", "0.0123"], ["0.9870", "0.9688", "0.0400"]]
    assert "Required: 0.95, 0.95, 0.03." in rows[0][0]
    assert "Required: 0.95, 0.95, 0.05." in rows[1][0]


def test_the_worst_queries_are_shown_and_escaped():
    html = html_of(report(FIRST))
    assert "<b>ferry" not in html
    rows = Page(html).rows
    assert ["0.7500", "0.0900", "<b>ferry[U+202E]</b>"] in rows
    assert ["0.8000", "0.0200", "图书馆"] in rows


def test_the_report_for_programs_has_the_same_figures():
    scores = json.loads(to_json(report(FIRST, SECOND)))["scores"]
    assert [entry["figures"]["error_rms"] for entry in scores["classes"]] == [0.0123, 0.04]
    assert scores["classes"][0]["thresholds"] == {"rank_agreement": 0.95, "top_kept": 0.95, "error_rms": 0.03}
    assert scores["worst"][1] == {"query": "图书馆", "rank_agreement": 0.8, "error_rms": 0.02}


def test_the_summary_says_what_was_measured_and_required():
    assert score_rows(FIRST) == (
        (
            "fidelity",
            "logits beside the fp32 original's on 256 held-out pairs: Kendall's tau 0.9870, best documents kept 96.9%, "
            "RMS error 1.23% of the spread",
        ),
        ("required", "Kendall's tau 0.95, best documents kept 95%, RMS error 3.00%: passed"),
    )
