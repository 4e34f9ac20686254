"""Pairs in process: real engines on a tiny reranker, and the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.models.engines.inputs import Text
from bench.models.preparation import bundle_for
from bench.models.rows import NATIVE, STOCK, Files
from bench.rerank.pairs import Timed, calls_of, measure, pairs_of, render
from tests.support.models import tiny_models
from tests.support.models.tiny_rerankers import OLDER, a_reranker

TINY = a_reranker("timed-reranker", "bert", "bert", "Bert", **OLDER)


def text(tokens: int) -> Text:
    return Text([5] * tokens, [0] * tokens)


def test_pairs_share_a_call_as_far_as_they_fit():
    assert [[len(pair.ids) for pair in call] for call in calls_of([text(n) for n in (3, 4, 5, 9, 1)], 8)] == [
        [3, 4],
        [5],
        [9],
        [1],
    ]
    assert [len(call) for call in calls_of([text(1)] * 3, 0)] == [1, 1, 1]
    assert calls_of([], 8) == []


def test_the_table_has_rates_and_how_many_times_ours_they_are():
    own = Timed({1: [0.01, 0.02, 0.01], 2: [0.005] * 3}, 0.999)
    other = Timed({1: [0.02, 0.02, 0.02], 2: [0.02] * 3}, 0.9)
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in render({NATIVE: own, STOCK: other}).splitlines()
    ]
    assert rows[0] == ["system", "pairs/s, 1 core", "pairs/s, 2 cores", "least cosine to fp32"]
    assert rows[2:] == [[NATIVE, "100.0", "200.0", "0.9990"], [STOCK, "50.0 (0.50 ×)", "50.0 (0.25 ×)", "0.9000"]]


@pytest.mark.slow
def test_engines_are_timed_on_pairs_with_types(tmp_path: Path):
    model = str(tiny_models.make(TINY))
    files = {kind: bundle_for(kind, model, tmp_path) for kind in (Files.NATIVE, Files.STOCK, Files.FP32)}
    pairs = pairs_of(files[Files.NATIVE])
    assert len(pairs) == 32
    assert all(set(pair.types or ()) == {0, 1} and len(pair.types or ()) == len(pair.ids) for pair in pairs)
    timed = measure(files, pairs, 1, 2, lambda line: None)
    assert list(timed) == [NATIVE, STOCK]
    for found in timed.values():
        assert found.seconds.keys() == {1, 2}
        assert all(seconds > 0 for (seconds,) in found.seconds.values())
        assert found.cosine > 0.99, "types reach the graph"
