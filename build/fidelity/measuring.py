"""Chooses in which CPU classes a finished bundle is measured on this machine."""

from __future__ import annotations

from build.fidelity.cpu_classes import CpuClass, VerificationPlan, native_plan, stock_plan
from build.host.machine import host_target, instruction_sets
from build.kernels import ensure
from manifest import TextModel


def plan_verification(text: TextModel, stock_class: CpuClass, tolerance: float) -> VerificationPlan:
    """Compiles the native kernels where the bundle needs them and they are missing. Raises ``BuildError``."""
    if all(graph.ops is None for graph in text.graphs.values()):
        return stock_plan(stock_class, tolerance)
    return native_plan(instruction_sets(ensure(host_target())), tolerance)
