"""Chooses in which CPU classes a finished bundle is measured on this machine."""

from __future__ import annotations

from build.fidelity.cpu_classes import Arithmetic, Measuring, by_native_kernels, by_stock_kernels
from build.host.machine import host_target, instruction_sets
from build.kernels import ensure
from manifest import TextModel


def plan_verification(text: TextModel, stock_class: Arithmetic, tolerance: float) -> Measuring:
    """Compiles the native kernels where the bundle needs them and they are missing. Raises ``BuildError``."""
    if all(graph.ops is None for graph in text.graphs.values()):
        return by_stock_kernels(stock_class, tolerance)
    return by_native_kernels(instruction_sets(ensure(host_target())), tolerance)
