"""The verdict about containers of texts and images: directions and lengths of both towers."""

from __future__ import annotations

import numpy as np
import pytest

from build.compare.figures import Figures, measure
from build.compare.towers.verdict import NOT_COMBINED, judge
from build.compare.verdict import MAX_LENGTH_RATIO, Verdict
from tests.support.compare.vectors import moved, names, vectors

OLD = vectors(1) * np.float32(9)


def figures(new: np.ndarray, old: np.ndarray = OLD) -> Figures:
    return measure(names(len(old)), old, new)


SAME = figures(OLD)


def test_equal_towers_are_a_drop_in_with_a_reason_for_each():
    judgment = judge({"texts": SAME, "images": SAME})
    assert judgment.verdict is Verdict.DROP_IN
    assert [reason.split(":")[0] for reason in judgment.reasons] == ["texts", "images"]
    assert all("1.000 to 1.000 times as long" in reason for reason in judgment.reasons)
    assert judgment.notes == ()


@pytest.mark.parametrize("tower", ["texts", "images"])
def test_one_tower_that_points_elsewhere_needs_another_import(tower: str):
    judgment = judge({"texts": SAME, "images": SAME} | {tower: figures(moved(OLD, 0.9) * np.float32(9))})
    assert judgment.verdict is Verdict.REIMPORT
    assert all(reason.startswith(f"{tower}: ") for reason in judgment.reasons)
    assert "the 1st percentile of the cosines" in judgment.reasons[0]
    assert NOT_COMBINED not in judgment.notes


@pytest.mark.parametrize(("factor", "verdict"), [(1.049, Verdict.DROP_IN), (1.051, Verdict.REIMPORT)])
@pytest.mark.parametrize("shrinks", [False, True])
def test_lengths_may_differ_by_the_limit_and_not_by_more(factor: float, verdict: Verdict, shrinks: bool):
    assert MAX_LENGTH_RATIO == 1.05
    other = figures(OLD * np.float32(1 / factor if shrinks else factor))
    judgment = judge({"texts": SAME, "images": other})
    assert judgment.verdict is verdict
    if verdict is Verdict.REIMPORT:
        (reason,) = judgment.reasons
        assert reason.startswith("images: new vectors are ")
        assert "(required: 0.952 to 1.05)" in reason
        assert judgment.notes == (NOT_COMBINED,)


def test_a_few_vectors_of_another_length_count():
    """One in thirty: the 99th percentile sees it, a mean would not."""
    new = OLD.copy()
    new[::30] *= 2
    assert judge({"texts": figures(new), "images": SAME}).verdict is Verdict.REIMPORT


def test_vectors_of_another_size_are_named_once():
    judgment = judge({"texts": figures(OLD[:, :8]), "images": SAME})
    assert judgment.reasons == ("texts: old vectors have 24 components and new ones 8: no index accepts both",)


def test_few_texts_and_few_images_are_noted_each():
    few = figures(OLD[:5], OLD[:5])
    notes = judge({"texts": few, "images": few}).notes
    assert [note.split(";")[0] for note in notes] == [
        "the verdict is based on only 5 texts",
        "the verdict is based on only 5 images",
    ]
