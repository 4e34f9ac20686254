"""What measures int8: scored pairs, rank correlation, times of graphs, random models, and the whole command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import SetupFailed
from bench.models.random_model import SHAPES, Shape, write_model
from bench.precisions.__main__ import main
from bench.precisions.engine_times import Timed, engine_times, median_ratio
from bench.precisions.sts import agreement, read_pairs, spearman
from build.host.machine import host_target, instruction_sets
from build.kernels import ensure
from build.model.describe import describe
from tests.support.models import tiny_models
from tests.support.models.tiny_description import TinyModel

PAIRS = '"A cat, asleep",A dog,1.5\nA dog,A dog runs,4\nA cat sleeps,"A cat, asleep",5.0\n'


def write_pairs(file: Path, text: str = PAIRS) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_a_sentence_of_several_pairs_is_there_once(tmp_path: Path):
    pairs = read_pairs(write_pairs(tmp_path / "pairs.csv"))
    assert pairs.sentences == ("A cat, asleep", "A dog", "A dog runs", "A cat sleeps")
    assert (pairs.left.tolist(), pairs.right.tolist()) == ([0, 1, 3], [1, 2, 0])
    assert pairs.scores.tolist() == [1.5, 4, 5]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b,1\na,b\n", "line 2 has 2 fields"),
        ("a,b,high\n", "could not convert string to float"),
        ("a,b,1\n", "1 pairs, and a rank correlation needs at least 2"),
        ("", "0 pairs"),
    ],
)
def test_a_file_that_holds_no_pairs_is_named(tmp_path: Path, text: str, reason: str):
    with pytest.raises(SetupFailed, match=rf"pairs\.csv.*{reason}"):
        read_pairs(write_pairs(tmp_path / "pairs.csv", text))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(SetupFailed, match=r"nothing\.csv cannot be read"):
        read_pairs(tmp_path / "nothing.csv")


def test_cosines_in_the_order_of_the_scores_agree_fully(tmp_path: Path):
    pairs = read_pairs(write_pairs(tmp_path / "pairs.csv"))
    vectors = np.array([[1, 0], [0, 1], [0.6, 1], [1, 0.1]], dtype=np.float32)
    assert agreement(pairs, vectors) == pytest.approx(100)
    assert agreement(pairs, vectors[[0, 3, 2, 1]]) < 100


def by_hand(a: list[float], b: list[float]) -> float:
    """Pearson's correlation of mean ranks, each found by counting."""

    def ranks(values: list[float]) -> list[float]:
        return [sum(v < own for v in values) + (sum(v == own for v in values) + 1) / 2 for own in values]

    x, y = np.array(ranks(a)), np.array(ranks(b))
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


VALUES = st.integers(-5, 5).map(float)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=2, max_size=30))
def test_spearman_is_the_correlation_of_mean_ranks(pairs: list[tuple[float, float]]):
    a, b = (list(column) for column in zip(*pairs, strict=True))
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert spearman(np.array(a), np.array(b)) == pytest.approx(by_hand(a, b))


def test_a_ratio_is_the_median_of_the_rounds_own():
    assert median_ratio([2, 30, 5], [1, 10, 1]) == 3


def test_graphs_are_timed_in_turns(default_bundle: Path):
    times = engine_times({"one": Timed(default_bundle), "other": Timed(default_bundle, "scalar")}, tokens=8, rounds=2)
    assert set(times) == {"one", "other"}
    assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in times.values())


def test_a_random_model_is_one_that_can_be_built_and_is_the_same_each_time(tmp_path: Path):
    shape = Shape(layers=1, width=32, heads=2, feed_forward=64)
    for name, outliers in (("plain", False), ("again", False), ("outliers", True)):
        (tmp_path / name).mkdir()
        write_model(tmp_path / name, shape, outliers)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("plain", "again", "outliers")]
    assert weights[0] == weights[1] != weights[2]
    assert describe(tmp_path / "plain", trust_remote_code=False).dim == 32


def test_shapes_are_those_of_the_models_that_they_are_named_after():
    assert SHAPES["base"] == Shape(layers=12, width=768, heads=12, feed_forward=3072)


def test_the_command_prints_both_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = tiny_models.make(TinyModel("measured", "bert", "bert", "BertModel", pooling="mean"))
    for name in ("en-dev.csv", "de-dev.csv", "zh-dev.csv"):
        write_pairs(tmp_path / name)
    assert main(["--model", str(model), "--stsb", str(tmp_path)]) == 0
    has_avx2 = "avx2" in instruction_sets(ensure(host_target()))[1:]
    ways = ["int8-stock, unprepared", "int8-stock", "int8", "fp32", *(["int8, avx2"] if has_avx2 else [])]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    fidelity = [row for row in cells if row[0] in ("held-out", "STS-B, English", "STS-B, German", "STS-B, Chinese")]
    assert [row[1] for row in fidelity] == ways * 4
    assert all(float(row[2]) > 0.99 for row in fidelity)
    assert all(float(row[2]) > 0.99999 for row in fidelity if row[1] == "fp32")
    times = [row for row in cells if row[1] == "16"]
    assert next((row[0], row[3]) for row in times) == ("int8-stock, unprepared", "1.000")
    assert not [row for row in cells if row[1] == "128"], "the model takes 48 tokens"


def test_a_directory_without_pairs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = tiny_models.make(TinyModel("measured", "bert", "bert", "BertModel", pooling="mean"))
    assert main(["--model", str(model), "--stsb", str(tmp_path)]) == 1
    assert "en-dev.csv cannot be read" in capsys.readouterr().err
