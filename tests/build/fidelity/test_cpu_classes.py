"""Which CPU classes a build verifies, depending on the machine that it runs on."""

from __future__ import annotations

import pytest

from build.fidelity.cpu_classes import (
    EXACT_INTEGERS,
    LOSS_FACTOR,
    PER_TOKEN,
    PER_TOKEN_7_BITS,
    VerificationRun,
    native_plan,
    plan_verification,
    stock_plan,
)
from build.host.machine import host_target, instruction_sets
from build.kernels import ARCHITECTURES, library
from build.precisions import PRECISIONS, Backend
from manifest import Precision
from tests.support.bundles.text_models import a_text_model
from tests.support.graphs.kernel_ops import available

AVX2 = VerificationRun(PER_TOKEN_7_BITS, {"KERNELS_ISA": "avx2"})


@pytest.mark.parametrize("best", ["amx,avx512vnni,avx2,scalar", "avx512vnni,avx2,scalar", "avxvnni,avx2,scalar"])
def test_on_x86_avx2_is_measured_besides_the_best(best: str):
    plan = native_plan(best.split(","), 0.1)
    assert plan.runs == (VerificationRun(PER_TOKEN), AVX2)
    assert (plan.loss_factor, plan.tolerance) == (LOSS_FACTOR, 0.1)


def test_on_a_machine_with_avx2_alone_one_class_is_measured():
    assert native_plan(["avx2", "scalar"], 0).runs == (VerificationRun(PER_TOKEN_7_BITS),)


@pytest.mark.parametrize("sets", [["neon_i8mm", "neon_dot", "scalar"], ["neon_dot", "scalar"], ["scalar"]])
def test_where_avx2_cannot_be_measured_the_loss_factor_allows_for_it(sets: list[str]):
    plan = native_plan(sets, 0)
    assert (plan.runs, plan.loss_factor) == ((VerificationRun(PER_TOKEN),), 4 * LOSS_FACTOR)


def test_stock_kernels_are_measured_once():
    assert stock_plan(EXACT_INTEGERS, 0.1).runs == (VerificationRun(EXACT_INTEGERS),)


def test_a_bundle_of_stock_graphs_is_measured_in_the_class_of_its_precision():
    for spec in PRECISIONS.values():
        plan = plan_verification(a_text_model().graphs, spec.stock_class, 0)
        assert plan.runs == (VerificationRun(spec.stock_class),)


def test_only_int8_asks_for_native_kernels():
    native = {spec.precision for spec in PRECISIONS.values() if spec.backend is Backend.NATIVE}
    assert native == {Precision.INT8}
    stock, int8 = (PRECISIONS[precision] for precision in (Precision.INT8_STOCK, Precision.INT8))
    assert (stock.quantize, stock.calibrate, stock.thresholds) == (int8.quantize, int8.calibrate, int8.thresholds)


def test_instruction_sets_of_this_machine_are_the_librarys():
    assert list(instruction_sets_here()) == available()
    assert set(instruction_sets_here()) <= {*ARCHITECTURES[host_target()].isas, "scalar"}


def instruction_sets_here() -> tuple[str, ...]:
    available()
    return instruction_sets(library(host_target()))
