"""Workers as real processes on a tiny model's bundles, and the whole command."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import ModelFailed, SetupFailed
from bench.models.__main__ import main
from bench.models.costs import take_costs, take_fidelities
from bench.models.measurement import APART, TOGETHER, Plan, take_times
from bench.models.preparation import prepare
from bench.models.process import ENGINE_ENVIRONMENTS, Process
from bench.models.random_model import SHAPES, Shape
from bench.models.rows import (
    NATIVE,
    SYSTEMS,
    TORCH_FP32,
    Files,
    Spec,
    rows,
)
from manifest import Target
from tests.support.models import tiny_models
from tests.support.models.tiny_description import TinyModel

CPU2VEC, _, _, ORT_FP32, TORCH = SYSTEMS
WITHOUT_OPENVINO = tuple(system for system in SYSTEMS if system.engine != "openvino")
TINY = TinyModel("whole", "bert", "bert", "BertModel", pooling="mean")
PLAN = Plan(tokens=(8, 16), rounds=1, runs=3, core=None)


def cells(table: str) -> list[list[str]]:
    """Without the head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.models.measurement.SAMPLE_SECONDS", 0.001)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


class TestWorkers:
    """Real processes on the bundles of a tiny model."""

    def test_all_systems_are_timed_and_compared(self, scratch: Path):
        model = prepare(str(tiny_models.make(TINY)), WITHOUT_OPENVINO, scratch)
        tiny_rows = rows(WITHOUT_OPENVINO, ("avx2",), Target.AMD64, amx=False)
        log: list[str] = []
        times = take_times(tiny_rows, model.files, replace(PLAN, rounds=2), log.append)
        assert all(
            len(times.seconds[Spec(system)][tokens]) == 2 for system in WITHOUT_OPENVINO for tokens in ("8", "16")
        )
        assert set(times.seconds[Spec(CPU2VEC)]) == {"8", "16", TOGETHER, APART}
        assert times.samples == 2 * (2 * len(WITHOUT_OPENVINO) + 2)
        assert log[0] == "8 tokens: 2 rounds of 4 processes"
        fidelity = take_fidelities([Spec(ORT_FP32), Spec(TORCH)], model.files, model.texts[:5], PLAN)
        assert fidelity[Spec(TORCH)].minimum == 1
        assert fidelity[Spec(ORT_FP32)].minimum > 0.999999

    def test_memory_is_that_of_the_weights(self, scratch: Path):
        """Of so many that processes which share libraries with this one, and come and go, are small beside it."""
        wide = replace(TINY, name="whole wide", settings={"intermediate_size": 100_000})
        model = prepare(str(tiny_models.make(wide)), (ORT_FP32,), scratch)
        weights = model.size(Files.FP32)
        costs = take_costs(Spec(ORT_FP32), model.files[Files.FP32], PLAN)
        assert weights > 40e6
        assert 0.8 * weights < costs.private < 2.5 * weights
        assert 0.8 * weights < costs.pss < 4 * weights
        assert costs.session_seconds > 0

    def test_without_the_original_nothing_is_compared(self):
        assert take_fidelities([Spec(ORT_FP32)], {}, [(1, 2)], PLAN) == {}
        assert take_fidelities([Spec(TORCH)], {}, [], PLAN) == {}

    def test_a_model_that_cannot_be_loaded_is_reported_with_the_systems_name(self, tmp_path: Path):
        with (
            Process(Spec(ORT_FP32), tmp_path, None) as process,
            pytest.raises(ModelFailed, match=r"onnxruntime fp32: BundleError: .*manifest\.json"),
        ):
            process.ask("load")

    def test_a_process_that_ends_is_reported(self, tmp_path: Path):
        with Process(Spec(ORT_FP32), tmp_path, core=100_000) as process:
            with pytest.raises(ModelFailed, match=r"onnxruntime fp32: the process ended: .*OSError"):
                process.ask("memory")
            with pytest.raises(ModelFailed, match="the process ended"):
                process.ask("memory")

    def test_an_environment_that_is_missing_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(ENGINE_ENVIRONMENTS, "onnxruntime", tmp_path)
        with pytest.raises(ModelFailed, match=r"cannot be started.*make setup"):
            Process(Spec(ORT_FP32), tmp_path, None)


class TestCommand:
    def test_prints_the_tables(
        self, scratch: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setitem(SHAPES, "small", Shape(layers=1, width=32, heads=2, feed_forward=64))
        command = ["--model", "random:small", "--systems", "cpu2vec,stock,torch-fp32", "--scratch", str(scratch)]
        assert main([*command, "--rounds", "1", "--runs", "2", "--tokens", "8,600"]) == 0
        shown = capsys.readouterr().out
        assert "random:small: milliseconds per text" in shown
        table = next(part for part in shown.split("\n\n") if part.startswith("| instruction set ") and "system" in part)
        assert "8 tokens" in table
        assert "600 tokens" not in table, "the model takes 512"
        ran = [row for row in cells(table) if row[3] != "not run here"]
        assert (ran[0][1], ran[-1][1]) == (NATIVE, TORCH_FP32)
        assert all(re.fullmatch(r"\d+\.\d\d( \(\d+\.\d\d ×\))?", row[3]) for row in ran)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["--systems", "nobody"],
                "a system must be one of cpu2vec, stock, openvino, ort-fp32, torch-fp32, not 'nobody'",
            ),
            (["--rounds", "0"], "must be more than 0 and less than a million, not 0"),
            (["--tokens", "8,0"], "must be more than 0 and less than a million, not 0"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert message in capsys.readouterr().err

    def test_tokens_beyond_the_models_positions_are_reported(self, scratch: Path, capsys: pytest.CaptureFixture[str]):
        model = ["--model", str(tiny_models.make(TINY)), "--systems", "ort-fp32", "--scratch", str(scratch)]
        assert main([*model, "--tokens", "5000"]) == 1
        assert "at most 64 tokens: name fewer in --tokens" in capsys.readouterr().err

    def test_an_unknown_shape_is_reported(self, tmp_path: Path):
        with pytest.raises(SetupFailed, match="the shape of random: must be one of small, base, large, not 'huge'"):
            prepare("random:huge", SYSTEMS, tmp_path)

    def test_help_names_every_system(self, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit):
            main(["--help"])
        shown = capsys.readouterr().out
        assert all(system.name in shown and system.short in shown for system in SYSTEMS)
