"""Whether one reranker can take another's place: the limits, from both sides, and what the page says about them."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from build.compare.scores.causes import ScoreCause
from build.compare.scores.figures import Range, RankingFigures
from build.compare.scores.verdict import FEW_QUERIES, MAX_ERROR_RMS, MIN_RANK_AGREEMENT, MIN_TOP_KEPT, differ, judge
from build.compare.verdict import Verdict
from manifest import ScoreFigures
from tests.support.paths import ROOT

SCORES = ScoreFigures(320, error_mean=0.01, error_max=0.02, error_rms=0.01, rank_agreement=1.0, top_kept=1.0)
FIGURES = RankingFigures(40, Range(0, 1), Range(0, 1), SCORES, ())


def figures(**changes: float) -> RankingFigures:
    return replace(FIGURES, scores=replace(SCORES, **changes))


@pytest.mark.parametrize(
    ("agreement", "kept", "verdict", "reasons"),
    [
        (MIN_RANK_AGREEMENT, MIN_TOP_KEPT, Verdict.DROP_IN, 1),
        (MIN_RANK_AGREEMENT - 1e-6, 1.0, Verdict.OTHER_RANKINGS, 1),
        (1.0, MIN_TOP_KEPT - 1e-6, Verdict.OTHER_RANKINGS, 1),
        (0.5, 0.5, Verdict.OTHER_RANKINGS, 2),
    ],
)
def test_a_drop_in_keeps_the_order_and_the_best_documents(
    agreement: float, kept: float, verdict: Verdict, reasons: int
):
    judgment = judge(figures(rank_agreement=agreement, top_kept=kept))
    assert (judgment.verdict, len(judgment.reasons), judgment.notes) == (verdict, reasons, ())


def test_other_scores_in_the_same_order_are_a_drop_in_with_a_note():
    judgment = judge(figures(error_rms=MAX_ERROR_RMS + 1e-6))
    assert judgment.verdict is Verdict.DROP_IN
    assert re.match(r"the scores differ by more than 3% of their spread: .* order", judgment.notes[0])
    assert differ(figures(error_rms=MAX_ERROR_RMS + 1e-6))
    assert not differ(figures(error_rms=MAX_ERROR_RMS))


@pytest.mark.parametrize(
    ("queries", "noted"), [(1, ["1 query;"]), (FEW_QUERIES - 1, ["19 queries;"]), (FEW_QUERIES, [])]
)
def test_few_queries_are_noted(queries: int, noted: list[str]):
    notes = judge(replace(FIGURES, queries=queries)).notes
    assert len(notes) == len(noted)
    assert all(f"based on only {words}" in note for note, words in zip(notes, noted, strict=True))


def section() -> str:
    return (ROOT / "docs" / "compare.md").read_text().split("\n## Rerankers\n")[1]


def test_the_page_names_the_limits():
    page = " ".join(section().split())
    assert f"Kendall's tau is at least {MIN_RANK_AGREEMENT} on average, and {MIN_TOP_KEPT:.0%} of the queries" in page
    assert f"by more than {MAX_ERROR_RMS:.0%} of their spread" in page


def test_the_page_names_every_cause():
    rows = re.findall(r"^\| ([^|]+) \|", section().split("| reason |")[1], re.MULTILINE)
    assert rows == list(ScoreCause)
