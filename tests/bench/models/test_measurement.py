"""What times whole models: which rows there are, tables, workers as real processes, and the whole command."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from bench.errors import ModelFailed, SetupFailed
from bench.models.__main__ import main
from bench.models.costs import Costs, take_costs, take_fidelities
from bench.models.engines.amx import has_amx
from bench.models.engines.onnx_model import PackedModel
from bench.models.engines.worker import parse_rollup, text_of
from bench.models.measurement import APART, TOGETHER, Plan, Times, loads, parse_onednn_isa, take_times
from bench.models.preparation import prepare
from bench.models.process import Process
from bench.models.random_model import SHAPES, Shape
from bench.models.report import Measured, costs_table, heading, render, times_table, together_table, warning
from bench.models.rows import (
    INSTRUCTION_SETS,
    NATIVE,
    OPENVINO,
    STOCK,
    SYSTEMS,
    TORCH_FP32,
    Files,
    Row,
    Spec,
    default_rows,
    rows,
)
from bench.report.machine import Machine
from build.kernels import ARCHITECTURES
from manifest import Fidelity, Graph, Layout, OpSet, Target
from tests.support.graphs import kernel_ops
from tests.support.models import tiny_models
from tests.support.models.tiny_description import TinyModel
from tests.support.paths import ROOT

CPU2VEC, STOCK_INT8, OPENVINO_INT8, ORT_FP32, TORCH = SYSTEMS
WITHOUT_OPENVINO = tuple(system for system in SYSTEMS if system.engine != "openvino")
TINY = TinyModel("whole", "bert", "bert", "BertModel", pooling="mean")
PLAN = Plan(tokens=(8, 16), rounds=1, runs=3, core=None)

AMX_MACHINE = ("amx", "avx512vnni", "avx2", "scalar")


def cells(table: str) -> list[list[str]]:
    """Without the head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def specs_of(lines: list[Row], isa: str) -> dict[str, Spec | None]:
    return {row.name: row.spec for row in lines if row.isa == isa}


class TestRows:
    def test_the_best_instruction_set_runs_with_nothing_forced(self):
        found = specs_of(rows(SYSTEMS, AMX_MACHINE, Target.AMD64, amx=True), "amx")
        assert found == {system.name: Spec(system) for system in (CPU2VEC, STOCK_INT8, OPENVINO_INT8)}

    def test_beside_vnni_all_are_kept_from_amx_where_there_is_one(self):
        found = specs_of(rows(SYSTEMS, AMX_MACHINE, Target.AMD64, amx=True), "avx512vnni")
        assert found == {
            NATIVE: Spec(CPU2VEC, isa="avx512vnni", deny_amx=True),
            STOCK: Spec(STOCK_INT8, deny_amx=True),
            OPENVINO: Spec(OPENVINO_INT8, deny_amx=True),
        }
        without = rows(SYSTEMS, AMX_MACHINE[1:], Target.AMD64, amx=False)
        assert not any(row.spec.deny_amx for row in without if row.spec)

    def test_a_cpu_with_amx_whose_kernel_does_not_allow_it_to_ours_allows_it_to_none(self):
        found = specs_of(rows(SYSTEMS, AMX_MACHINE[1:], Target.AMD64, amx=True), "avx512vnni")
        assert found[STOCK] == Spec(STOCK_INT8, deny_amx=True)

    def test_avx2_is_forced_in_ours_and_openvino_and_cannot_be_in_onnxruntime(self):
        found = specs_of(rows(SYSTEMS, AMX_MACHINE[1:], Target.AMD64, amx=False), "avx2")
        assert found == {
            NATIVE: Spec(CPU2VEC, isa="avx2"),
            f"{STOCK}, not limited": Spec(STOCK_INT8),
            OPENVINO: Spec(OPENVINO_INT8, environment=(("ONEDNN_MAX_CPU_ISA", "AVX2"),)),
        }

    def test_where_avx2_is_all_that_there_is_nothing_is_limited(self):
        found = specs_of(rows(SYSTEMS, ("avx2", "scalar"), Target.AMD64, amx=False), "avx2")
        assert found == {system.name: Spec(system) for system in (CPU2VEC, STOCK_INT8, OPENVINO_INT8)}

    def test_what_the_machine_lacks_has_a_line_without_figures(self):
        lines = rows(SYSTEMS, ("neon_dot", "scalar"), Target.ARM64, amx=False)
        assert lines[0] == Row("neon_i8mm", "–", None)
        assert list(specs_of(lines, "neon_dot")) == [NATIVE, STOCK, OPENVINO]
        assert not {"amx", "avx2"} & {row.isa for row in lines}

    def test_systems_in_fp32_run_once(self):
        lines = rows(SYSTEMS, AMX_MACHINE, Target.AMD64, amx=True)
        assert [row.spec for row in lines if row.spec and row.spec.system in (ORT_FP32, TORCH)] == [
            Spec(ORT_FP32),
            Spec(TORCH),
        ]

    def test_defaults_are_the_first_of_each(self):
        lines = rows(SYSTEMS, AMX_MACHINE[1:], Target.AMD64, amx=False)
        assert [row.spec for row in default_rows(lines)] == [Spec(system) for system in SYSTEMS]

    def test_every_instruction_set_of_the_kernels_is_listed(self):
        compiled = {(target, isa) for target, one in ARCHITECTURES.items() for isa in one.isas}
        assert {(one.target, one.name) for one in INSTRUCTION_SETS} == compiled


def measured() -> Measured:
    """Three rounds; ours takes 2 ms for 16 tokens and stock 3, 6 and 4."""
    lines = rows((CPU2VEC, STOCK_INT8, TORCH), ("avx512vnni",), Target.AMD64, amx=False)
    ours, stock, torch = (Spec(system) for system in (CPU2VEC, STOCK_INT8, TORCH))
    seconds = {
        ours: {"16": [2e-3, 2e-3, 2e-3], TOGETHER: [8e-3, 8e-3, 8e-3], APART: [16e-3, 12e-3, 20e-3]},
        stock: {"16": [3e-3, 6e-3, 4e-3]},
        torch: {"16": [20e-3, 30e-3, 25e-3]},
    }
    isas = {ours: "avx512vnni", stock: "its choice", torch: "AVX512"}
    costs = {
        ours: Costs(2.5e-3, private=3_000_000, pss=30_000_000, fidelity=Fidelity(5, 0.9995, 0.999, 0.998)),
        stock: Costs(30e-3, private=33_000_000, pss=99_900_000),
    }
    sizes = {Files.NATIVE: 24_500_000, Files.STOCK: 59_400_000}
    return Measured("a model", replace(PLAN, tokens=(16,), rounds=3), lines, Times(seconds, isas), costs, sizes)


class TestReport:
    def test_shows_medians_and_the_median_of_the_rounds_ratios_to_ours(self):
        shown = [row for row in cells(times_table(measured())) if row[3] != "not run here"]
        assert shown == [
            ["avx512vnni", NATIVE, "avx512vnni", "2.00"],
            ["avx512vnni", STOCK, "its choice", "4.00 (2.00 ×)"],
            ["as the CPU has it", TORCH_FP32, "AVX512", "25.00 (12.50 ×)"],
        ]

    def test_says_what_was_not_run(self):
        shown = [row for row in cells(times_table(measured())) if row[3] == "not run here"]
        assert shown == [[isa, "–", "–", "not run here"] for isa in ("amx", "avxvnni", "avx2")]

    def test_without_ours_shows_no_ratio(self):
        without = [row for row in measured().rows if row.name != NATIVE]
        assert "×" not in times_table(replace(measured(), rows=without))

    def test_shows_what_texts_in_one_call_gain(self):
        assert cells(together_table(measured())) == [["avx512vnni", "16.00", "8.00", "2.00 ×"]]

    def test_where_ours_did_not_run_there_is_no_table_of_that(self):
        without = replace(measured(), times=Times({Spec(STOCK_INT8): {"16": [1.0]}}))
        assert together_table(without) == ""

    def test_shows_costs(self):
        assert cells(costs_table(measured())) == [
            [NATIVE, "2.5", "3.0", "30.0", "24.5", "0.99950", "0.99900", "0.99800"],
            [STOCK, "30.0", "33.0", "99.9", "59.4", "–", "–", "–"],
        ]

    def test_warns_where_others_had_the_core(self):
        assert warning(Times(samples=10)) == ""
        assert "in 3 of 10 samples" in warning(Times(samples=10, disturbed=3))

    def test_a_sample_counts_as_disturbed_beyond_a_limit(self):
        times = Times({Spec(TORCH): {}})
        for waited in (0.0, 0.05, 0.06):
            times.add(Spec(TORCH), "8", {"seconds": 1.0, "waited": waited})
        assert (times.samples, times.disturbed) == (3, 1)

    def test_names_the_machine(self):
        machine = Machine("A CPU", "x86_64", 2, ("avx2",), "6.1", "3.11", 0.25)
        shown = heading(machine, {"onnxruntime": "1.0"}, ("avx2", "scalar"))
        assert all(text in shown for text in ("A CPU", "avx2, scalar", "onnxruntime 1.0", "0.25"))


class TestParsing:
    def test_private_memory_is_clean_and_dirty(self):
        text = "1-2 ---p 0 00:00 0 [rollup]\nRss: 9 kB\nPss: 5 kB\nPrivate_Clean: 1 kB\nPrivate_Dirty: 3 kB\n"
        assert parse_rollup(text) == {"private": 4096, "pss": 5120}

    @pytest.mark.parametrize(
        ("log", "shown"),
        [
            ("x\nonednn_verbose,v1,info,cpu,isa:Intel AVX2\ny", "AVX2"),
            ("info,cpu,isa:Intel AVX-512 with Intel DL Boost support\n", "AVX-512 with Intel DL Boost"),
            ("nothing of the kind", "OpenVINO's choice"),
        ],
    )
    def test_onednn_tells_its_instruction_set(self, log: str, shown: str):
        assert parse_onednn_isa(log) == shown

    def test_a_text_has_as_many_tokens_as_asked_for(self):
        assert [len(text_of(tokens)) for tokens in (1, 50, 512)] == [1, 50, 512]

    def test_texts_are_timed_alone_and_eight_of_them_together_and_apart(self):
        assert loads([8]) == [{"8": ((8,),)}, {TOGETHER: ((16,) * 8,), APART: ((16,),) * 8}]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AMX is of x86-64")
class TestAmx:
    PROGRAM = """
import ctypes
from bench.models.engines.amx import {name}
libc = ctypes.CDLL(None, use_errno=True)

def arch_prctl(code, argument):
    ctypes.set_errno(0)
    libc.syscall(158, code, argument)
    return ctypes.get_errno()

before = arch_prctl(0x1023, 18)
{name}()
stack = ctypes.c_ulong()
print(before, arch_prctl(0x1023, 18), arch_prctl(0x1003, ctypes.byref(stack)), bool(stack.value))
"""

    def answers(self, name: str) -> list[str]:
        command = [sys.executable, "-c", self.PROGRAM.format(name=name)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()

    def test_the_filter_refuses_the_permission_and_nothing_else(self):
        before, after, other, answered = self.answers("refuse_permission")
        assert before != str(errno.EPERM)
        assert (after, other, answered) == (str(errno.EPERM), "0", "True")

    @pytest.mark.skipif(has_amx(), reason="this CPU has AMX")
    def test_without_amx_there_is_no_filter(self):
        before, after, *_ = self.answers("deny_amx")
        assert before == after


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


class TestWorkers:
    """Real processes on the bundles of a tiny model."""

    def test_all_systems_are_timed_and_compared(self, scratch: Path):
        subject = prepare(str(tiny_models.make(TINY)), WITHOUT_OPENVINO, scratch)
        lines = rows(WITHOUT_OPENVINO, ("avx2",), Target.AMD64, amx=False)
        told: list[str] = []
        times = take_times(lines, subject.files, replace(PLAN, rounds=2), told.append)
        assert all(
            len(times.seconds[Spec(system)][tokens]) == 2 for system in WITHOUT_OPENVINO for tokens in ("8", "16")
        )
        assert set(times.seconds[Spec(CPU2VEC)]) == {"8", "16", TOGETHER, APART}
        assert times.samples == 2 * (2 * len(WITHOUT_OPENVINO) + 2)
        assert told[0] == "8 tokens: 2 rounds of 4 processes"
        near = take_fidelities([Spec(ORT_FP32), Spec(TORCH)], subject.files, subject.texts[:5], PLAN)
        assert near[Spec(TORCH)].cosine_min == 1
        assert near[Spec(ORT_FP32)].cosine_min > 0.999999

    def test_memory_is_that_of_the_weights(self, scratch: Path):
        """Of so many that processes which share libraries with this one, and come and go, are small beside it."""
        wide = replace(TINY, name="whole wide", settings={"intermediate_size": 100_000})
        subject = prepare(str(tiny_models.make(wide)), (ORT_FP32,), scratch)
        weights = subject.size(Files.FP32)
        costs = take_costs(Spec(ORT_FP32), subject.files[Files.FP32], PLAN)
        assert weights > 40e6
        assert 0.8 * weights < costs.private < 2.5 * weights
        assert 0.8 * weights < costs.pss < 4 * weights
        assert costs.session_seconds > 0

    def test_without_the_original_nothing_is_compared(self):
        assert take_fidelities([Spec(ORT_FP32)], {}, [(1, 2)], PLAN) == {}
        assert take_fidelities([Spec(TORCH)], {}, [], PLAN) == {}

    def test_a_model_that_cannot_be_loaded_is_told_with_the_systems_name(self, tmp_path: Path):
        with (
            Process(Spec(ORT_FP32), tmp_path, None) as process,
            pytest.raises(ModelFailed, match=r"onnxruntime fp32: BundleError: .*manifest\.json"),
        ):
            process.ask("load")

    def test_a_process_that_ends_is_told(self, tmp_path: Path):
        with Process(Spec(ORT_FP32), tmp_path, core=100_000) as process:
            with pytest.raises(ModelFailed, match=r"onnxruntime fp32: the process ended: .*OSError"):
                process.ask("memory")
            with pytest.raises(ModelFailed, match="the process ended"):
                process.ask("memory")

    def test_an_environment_that_is_missing_is_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("bench.models.process.ROOT", tmp_path)
        with pytest.raises(ModelFailed, match=r"cannot be started.*make setup"):
            Process(Spec(ORT_FP32), tmp_path, None)

    def test_texts_of_a_native_graph_are_run_together(self):
        kernel_ops.host_library()
        rng = np.random.default_rng(3)
        inputs = {
            "input_ids": np.zeros(1, np.int64),
            "lengths": np.ones(1, np.int64),
            "word": rng.integers(-127, 128, (64, 16), dtype=np.int8),
            "word_scale": rng.uniform(0.5, 1, 64).astype(np.float32),
        }
        model = kernel_ops.graph("Embedding", inputs, ("word", "word_scale"))
        session = ort.InferenceSession(model.SerializeToString(), kernel_ops.options())
        graph = Graph("", "", ("input_ids", "lengths"), "y", Layout.PACKED, OpSet("cpu2vec", 2))
        found = PackedModel(session, graph, "any").run([[5, 6], [7]])
        expected = (inputs["word"] * inputs["word_scale"][:, np.newaxis])[[5, 6, 7]]
        assert found == pytest.approx(expected, rel=1e-6)


class TestCommand:
    def test_prints_the_tables(
        self, scratch: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setitem(SHAPES, "small", Shape(layers=1, width=32, heads=2, feed_forward=64))
        command = ["--model", "random:small", "--systems", "cpu2vec,stock,torch-fp32", "--scratch", str(scratch)]
        assert main([*command, "--rounds", "1", "--runs", "2", "--tokens", "8,600"]) == 0
        shown = capsys.readouterr().out
        assert "random:small: milliseconds a text" in shown
        table = next(part for part in shown.split("\n\n") if part.startswith("| instruction set ") and "system" in part)
        assert "8 tokens" in table
        assert "600 tokens" not in table, "the model takes 512"
        ran = [row for row in cells(table) if row[3] != "not run here"]
        assert (ran[0][1], ran[-1][1]) == (NATIVE, TORCH_FP32)
        assert all(float(row[3].split()[0]) > 0 for row in ran)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--systems", "nobody"], "'nobody' is none of cpu2vec, stock"),
            (["--rounds", "0"], "0 must be more than 0"),
            (["--tokens", "8,0"], "0 must be more than 0"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert message in capsys.readouterr().err

    def test_tokens_beyond_the_models_positions_are_told(self, scratch: Path, capsys: pytest.CaptureFixture[str]):
        model = ["--model", str(tiny_models.make(TINY)), "--systems", "ort-fp32", "--scratch", str(scratch)]
        assert main([*model, "--tokens", "5000"]) == 1
        assert "--tokens must name fewer" in capsys.readouterr().err

    def test_an_unknown_shape_is_told(self, tmp_path: Path):
        with pytest.raises(SetupFailed, match="random:huge: the shape must be one of small, base, large"):
            prepare("random:huge", SYSTEMS, tmp_path)

    def test_help_names_every_system(self, capsys: pytest.CaptureFixture[str]):
        with pytest.raises(SystemExit):
            main(["--help"])
        shown = capsys.readouterr().out
        assert all(system.name in shown and system.short in shown for system in SYSTEMS)

    def test_renders_all_parts(self):
        parts = render(measured()).split("\n\n")
        assert len(parts) == 4
