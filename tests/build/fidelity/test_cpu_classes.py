"""Which class of CPUs a build verifies."""

from __future__ import annotations

import dataclasses

from build.fidelity.cpu_classes import EXACT_INTEGERS, PER_TOKEN, VerificationPlan, plan_verification
from build.host.machine import host_target, instruction_sets
from build.kernels import ARCHITECTURES, library
from build.native.encoder import NATIVE_OPS
from build.precisions import PRECISIONS, Backend
from manifest import Precision
from tests.support.bundles.text_models import a_text_model
from tests.support.graphs.kernel_ops import available


def test_a_bundle_of_stock_graphs_is_measured_in_the_class_of_its_precision():
    for spec in PRECISIONS.values():
        plan = plan_verification(a_text_model().graphs, spec.stock_class, 0.1)
        assert plan == VerificationPlan(spec.stock_class, 0.1)


def test_a_bundle_with_a_native_graph_is_measured_in_the_class_of_the_kernels():
    graphs = a_text_model().graphs
    native = {name: dataclasses.replace(graph, ops=NATIVE_OPS) for name, graph in graphs.items()}
    assert plan_verification({**native, "stock": graphs["model"]}, EXACT_INTEGERS, 0.1) == VerificationPlan(
        PER_TOKEN, 0.1
    )


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
