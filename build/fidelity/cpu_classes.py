"""The classes of CPUs that round alike, and which of them a build verifies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from build.host.machine import host_target, instruction_sets
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
    "x86 with AVX-512 VNNI, AMX or AVX-VNNI, and ARM",
    "Activations have 256 levels and one scale per token. Products have the same bits on all of them. ARM computes "
    "attention in floating point, which is slightly closer.",
)
PER_TOKEN_7_BITS = CpuClass(
    "u7 x s8, per token",
    "x86 with AVX2 and none of the newer instructions",
    "Activations have 128 levels and one scale per token.",
)

CLASSES = (PER_TOKEN, PER_TOKEN_7_BITS, EXACT_INTEGERS, FLOATS)
"""All classes that a build can measure."""

SEVEN_BITS = "avx2"
"""The instruction set of ``PER_TOKEN_7_BITS``; all others belong to ``PER_TOKEN``."""

ISA_SETTING = "KERNELS_ISA"
"""The runtime's setting that forces an instruction set."""

LOSS_FACTOR = 1.5
"""A correct runtime may lose this many times what the golden texts lost when they were measured."""

SEVEN_BIT_LOSS_FACTOR = 4.0
"""Half as many levels double the error, and 1 minus the cosine grows with the square of the error."""


@dataclass(frozen=True)
class VerificationRun:
    """One run over all texts."""

    cpu_class: CpuClass
    """The class that the run measures."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings of the runtime besides those of every run."""


@dataclass(frozen=True)
class VerificationPlan:
    """The runs that verify a bundle on this machine, and how much a correct runtime may lose on a golden text."""

    runs: tuple[VerificationRun, ...]
    """The first measures the class of this machine's best instruction set."""

    loss_factor: float
    """A correct runtime may lose this many times what was measured."""

    tolerance: float
    """Its cosine may be lower than that by this much."""


def plan_verification(graphs: Mapping[str, Graph], stock_class: CpuClass, tolerance: float) -> VerificationPlan:
    """Plan the runs for the ``graphs`` of a finished bundle on this machine.

    Compiles the native kernels if the bundle needs them and they are missing. Raises ``BuildError``.
    """
    if all(graph.ops is None for graph in graphs.values()):
        return stock_plan(stock_class, tolerance)
    return native_plan(instruction_sets(ensure(host_target())), tolerance)


def stock_plan(cpu_class: CpuClass, tolerance: float) -> VerificationPlan:
    """Plan for onnxruntime's own kernels, which compute alike on all CPUs."""
    return VerificationPlan((VerificationRun(cpu_class),), LOSS_FACTOR, tolerance)


def native_plan(available: Sequence[str], tolerance: float) -> VerificationPlan:
    """Plan for native kernels: the class of this machine's best instruction set, then AVX2's if the machine has it.

    ``available``: the instruction sets of this machine, the best first. Where AVX2's class cannot be measured, the loss
    factor allows for it. The target does not matter, because bundles for both have the same files.
    """
    best = VerificationRun(PER_TOKEN_7_BITS if available[0] == SEVEN_BITS else PER_TOKEN)
    if best.cpu_class is PER_TOKEN_7_BITS:
        return VerificationPlan((best,), LOSS_FACTOR, tolerance)
    if SEVEN_BITS in available:
        seven_bits = VerificationRun(PER_TOKEN_7_BITS, {ISA_SETTING: SEVEN_BITS})
        return VerificationPlan((best, seven_bits), LOSS_FACTOR, tolerance)
    return VerificationPlan((best,), LOSS_FACTOR * SEVEN_BIT_LOSS_FACTOR, tolerance)
