"""The verdict: its limits, its reasons, its notes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from build.compare.causes import SAMPLE
from build.compare.figures import NEIGHBORS, Figures, measure
from build.compare.hypotheses import Cause
from build.compare.verdict import FEW_TEXTS, MIN_COSINE_P1, MIN_MIXED_OVERLAP, Verdict, judge
from tests.support.compare.vectors import TEXTS, names, vectors
from tests.support.paths import ROOT


def figures_of(cosine: float, mixed: float) -> Figures:
    """Figures with this 1st percentile of the cosines and this overlap."""
    figures = measure(names(TEXTS), vectors(1), vectors(1))
    assert figures.cosines is not None
    return replace(figures, cosines=replace(figures.cosines, p1=cosine), overlap=replace(figures.overlap, mixed=mixed))


@pytest.mark.parametrize(
    ("cosine", "mixed", "verdict", "faults"),
    [
        (MIN_COSINE_P1, MIN_MIXED_OVERLAP, Verdict.DROP_IN, 0),
        (MIN_COSINE_P1 - 1e-6, 1.0, Verdict.REIMPORT, 1),
        (1.0, MIN_MIXED_OVERLAP - 1e-6, Verdict.REIMPORT, 1),
        (0.5, 0.5, Verdict.REIMPORT, 2),
    ],
)
def test_a_drop_in_needs_high_cosines_and_the_same_neighbors(
    cosine: float, mixed: float, verdict: Verdict, faults: int
):
    judgment = judge(figures_of(cosine, mixed))
    assert judgment.verdict is verdict
    assert len(judgment.reasons) == (faults or 1)
    assert judgment.notes == ()


def test_vectors_of_two_sizes_never_fit():
    judgment = judge(measure(names(TEXTS), vectors(1, dim=8), vectors(1)))
    assert judgment.verdict is Verdict.REIMPORT
    assert judgment.reasons == ("old vectors have 8 components and new ones 24: no index accepts both",)
    assert judgment.notes == ()


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        (1.0, 3.0, "the old vectors have unit length and the others do not"),
        (3.0, 1.0, "the new vectors have unit length and the others do not"),
        (2.0, 3.0, r"the vectors' lengths differ \(mean 2 and 3\)"),
    ],
)
def test_other_lengths_only_fit_for_cosine_distance(old: float, new: float, difference: str):
    judgment = judge(measure(names(TEXTS), vectors(1) * np.float32(old), vectors(1) * np.float32(new)))
    assert judgment.verdict is Verdict.DROP_IN
    assert re.match(f"{difference}: .*cosine.*dot and l2-squared need a re-import", judgment.notes[0])


@pytest.mark.parametrize(("texts", "few"), [(2, True), (FEW_TEXTS - 1, True), (FEW_TEXTS, False)])
def test_few_texts_are_noted(texts: int, few: bool):
    judgment = judge(measure(names(texts), vectors(1, texts), vectors(1, texts)))
    assert judgment.verdict is Verdict.DROP_IN
    assert [f"based on only {texts} texts" in note for note in judgment.notes] == [True] * few


def test_the_page_names_the_limits():
    page = " ".join((ROOT / "docs" / "compare.md").read_text().split())
    assert f"cosines is at least {MIN_COSINE_P1}, and new vectors find at least {MIN_MIXED_OVERLAP:.0%}" in page
    assert f"| neighbors | take the {NEIGHBORS} nearest other texts" in page
    assert f"With fewer than {2 * NEIGHBORS + 1} texts, fewer than {NEIGHBORS} are taken" in page
    assert f"Up to {SAMPLE} of the texts" in page


def test_the_page_names_every_cause():
    reasons = (ROOT / "docs" / "compare.md").read_text().split("\n## Why\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \|", reasons, re.MULTILINE)[1:]
    assert [cause for row in rows for cause in row.split(", ")] == list(Cause)
