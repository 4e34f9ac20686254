"""The classes of CPUs that round alike, and which of them a build verifies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from build.host.machine import host_target
from build.kernels import ensure
from manifest import Graph


@dataclass(frozen=True)
class CpuClass:
    """CPUs that round alike, so that one measurement stands for all of them."""

    name: str
    """The name of the class in ``fidelity.json``."""

    cpus: str
    """Which CPUs belong to the class."""

    rounding: str
    """How they round, in full sentences."""


EXACT_INTEGERS = CpuClass(
    "u8 x s8, exact",
    "x86, and ARM with dot products",
    "Integer products are exact on all of them. On x86 without VNNI, the runtime has onnxruntime turn signed weights "
    "into unsigned ones, so that nothing saturates. What stays in fp32 may be summed in another order.",
)
FLOATS = CpuClass(
    "fp32",
    "All x86 and ARM CPUs",
    "Summing in another order changes a component by about 1e-7, which is less than these figures show.",
)
PER_TOKEN = CpuClass(
    "u8 x s8, per token",
    "All x86 and ARM CPUs",
    "Activations have 256 levels and one scale per token. Products have the same bits on all of them. ARM, and x86 "
    "without VNNI, compute attention in floating point, which is slightly closer.",
)

CLASSES = (PER_TOKEN, EXACT_INTEGERS, FLOATS)
"""All classes that a build can measure."""

LOSS_FACTOR = 1.5
"""A correct runtime may lose this many times what the golden texts lost when they were measured."""


@dataclass(frozen=True)
class VerificationPlan:
    """How a bundle is verified."""

    cpu_class: CpuClass
    """What the measurement stands for."""

    tolerance: float
    """A golden text's cosine may be lower than the measured loss allows, by this much."""


def plan_verification(graphs: Mapping[str, Graph], stock_class: CpuClass, tolerance: float) -> VerificationPlan:
    """Plan for the ``graphs`` of a finished bundle. One graph in native kernels makes it a bundle of their class.

    Compiles the native kernels if the bundle needs them and they are missing. Raises ``BuildError``.
    """
    if all(graph.ops is None for graph in graphs.values()):
        return VerificationPlan(stock_class, tolerance)
    ensure(host_target())
    return VerificationPlan(PER_TOKEN, tolerance)
