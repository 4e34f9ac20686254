"""Which classes of arithmetic a build measures, by the machine that it runs on and the target."""

from __future__ import annotations

import pytest

from build.fidelity.cpu_classes import (
    EXACT_INTEGERS,
    LOST_AGAIN,
    PER_TOKEN,
    PER_TOKEN_7_BITS,
    Pass,
    by_native_kernels,
    by_stock_kernels,
)
from build.fidelity.measuring import plan_verification
from build.host.machine import host_target, instruction_sets
from build.kernels import ARCHITECTURES, library
from build.precisions import PRECISIONS, Backend
from manifest import Precision
from tests.support.bundles.text_models import a_text_model
from tests.support.graphs.kernel_ops import available

AVX2 = Pass(PER_TOKEN_7_BITS, {"KERNELS_ISA": "avx2"})


@pytest.mark.parametrize("best", ["amx,avx512vnni,avx2,scalar", "avx512vnni,avx2,scalar", "avxvnni,avx2,scalar"])
def test_on_x86_avx2_is_measured_beside_the_best(best: str):
    found = by_native_kernels(best.split(","), 0.1)
    assert found.passes == (Pass(PER_TOKEN), AVX2)
    assert (found.lost, found.slack) == (LOST_AGAIN, 0.1)


def test_on_a_machine_with_avx2_alone_that_is_all():
    assert by_native_kernels(["avx2", "scalar"], 0).passes == (Pass(PER_TOKEN_7_BITS),)


@pytest.mark.parametrize("sets", [["neon_i8mm", "neon_dot", "scalar"], ["neon_dot", "scalar"], ["scalar"]])
def test_where_avx2_cannot_be_measured_golden_texts_leave_room_for_it(sets: list[str]):
    found = by_native_kernels(sets, 0)
    assert (found.passes, found.lost) == ((Pass(PER_TOKEN),), 4 * LOST_AGAIN)


def test_stock_kernels_are_measured_once():
    assert by_stock_kernels(EXACT_INTEGERS, 0.1).passes == (Pass(EXACT_INTEGERS),)


def test_a_bundle_of_stock_graphs_is_measured_in_the_class_of_its_precision():
    for spec in PRECISIONS.values():
        assert plan_verification(a_text_model(), spec.stock_class, 0).passes == (Pass(spec.stock_class),)


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
