"""The tables of the whole-model benchmark."""

from __future__ import annotations

from dataclasses import replace

from bench.models.costs import Costs
from bench.models.measurement import APART, TOGETHER, Plan, Times
from bench.models.report import Measured, costs_table, heading, render, times_table, together_table, warning
from bench.models.rows import (
    NATIVE,
    STOCK,
    SYSTEMS,
    TORCH_FP32,
    Files,
    Spec,
    rows,
)
from bench.report.machine import Machine
from manifest import CosineFigures, Target

CPU2VEC, STOCK_INT8, _, _, TORCH = SYSTEMS


def cells(table: str) -> list[list[str]]:
    """Without the head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def measured() -> Measured:
    """Three rounds; ours takes 2 ms for 16 tokens and stock 3, 6 and 4."""
    measured_rows = rows((CPU2VEC, STOCK_INT8, TORCH), ("avx512vnni",), Target.AMD64, amx=False)
    ours, stock, torch = (Spec(system) for system in (CPU2VEC, STOCK_INT8, TORCH))
    seconds = {
        ours: {"16": [2e-3, 2e-3, 2e-3], TOGETHER: [8e-3, 8e-3, 8e-3], APART: [16e-3, 12e-3, 20e-3]},
        stock: {"16": [3e-3, 6e-3, 4e-3]},
        torch: {"16": [20e-3, 30e-3, 25e-3]},
    }
    isas = {ours: "avx512vnni", stock: "its choice", torch: "AVX512"}
    costs = {
        ours: Costs(2.5e-3, private=3_000_000, pss=30_000_000, fidelity=CosineFigures(5, 0.9995, 0.999, 0.998)),
        stock: Costs(30e-3, private=33_000_000, pss=99_900_000),
    }
    sizes = {Files.NATIVE: 24_500_000, Files.STOCK: 59_400_000}
    plan = Plan(tokens=(16,), rounds=3, runs=3, core=None)
    return Measured("a model", plan, measured_rows, Times(seconds, isas), costs, sizes)


class TestReport:
    def test_shows_medians_and_the_median_of_the_rounds_ratios_to_ours(self):
        shown = [row for row in cells(times_table(measured())) if row[3] != "not run here"]
        assert shown == [
            ["avx512vnni", NATIVE, "avx512vnni", "2.00"],
            ["avx512vnni", STOCK, "its choice", "4.00 (2.00 ×)"],
            ["the CPU's best", TORCH_FP32, "AVX512", "25.00 (12.50 ×)"],
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

    def test_has_four_parts_on_a_quiet_machine(self):
        assert len(render(measured()).split("\n\n")) == 4
