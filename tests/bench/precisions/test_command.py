"""Times of graphs, and the whole command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.precisions.__main__ import main
from bench.precisions.engine_times import engine_times
from bench.precisions.variants import Variant
from bench.report.machine import describe_machine
from build.host.machine import host_target, instruction_sets
from build.kernels import ensure
from tests.support.models import tiny_models
from tests.support.models.tiny_description import TinyModel

PAIRS = '"A cat, asleep",A dog,1.5\nA dog,A dog runs,4\nA cat sleeps,"A cat, asleep",5.0\n'


def write_pairs(file: Path, text: str = PAIRS) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_graphs_are_timed_in_turns(default_bundle: Path):
    times = engine_times(
        {"one": Variant(default_bundle), "other": Variant(default_bundle, "scalar")}, tokens=8, rounds=2
    )
    assert set(times) == {"one", "other"}
    assert all(len(rounds) == 2 and min(rounds) > 0 for rounds in times.values())


def test_the_command_prints_both_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bench.precisions.engine_times.ROUNDS", 3)
    monkeypatch.setattr("bench.precisions.engine_times.SAMPLE_SECONDS", 0.001)
    model = tiny_models.make(TinyModel("measured", "bert", "bert", "BertModel", pooling="mean"))
    for name in ("en-dev.csv", "de-dev.csv", "zh-dev.csv"):
        write_pairs(tmp_path / name)
    assert main(["--model", str(model), "--stsb", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    has_avx2 = "avx2" in instruction_sets(ensure(host_target()))[1:]
    weights = ["int8-stock, uncalibrated", "int8-stock", "int8", "fp32", *(["int8, avx2"] if has_avx2 else [])]
    lines = [line for line in shown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    fidelity = [row for row in cells if row[0] in ("held-out", "STS-B, English", "STS-B, German", "STS-B, Chinese")]
    assert [row[1] for row in fidelity] == weights * 4
    assert all(float(row[2]) > 0.99 for row in fidelity)
    assert all(float(row[2]) > 0.99999 for row in fidelity if row[1] == "fp32")
    times = [row for row in cells if row[1] == "16"]
    assert next((row[0], row[3]) for row in times) == ("int8-stock, uncalibrated", "1.000")
    assert not [row for row in cells if row[1] == "128"], "the model takes 48 tokens"
    assert describe_machine().cpu in shown
    assert re.search(r"other processes used \d+ % of the cores", shown)


def test_a_directory_without_pairs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = tiny_models.make(TinyModel("measured", "bert", "bert", "BertModel", pooling="mean"))
    assert main(["--model", str(model), "--stsb", str(tmp_path)]) == 1
    assert "en-dev.csv cannot be read" in capsys.readouterr().err
