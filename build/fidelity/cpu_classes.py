"""Lists the classes of CPUs that round alike, and says which of them a build measures, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Arithmetic:
    """A class of CPUs that round alike, for which one measurement stands; ``name`` is the key in ``fidelity.json``."""

    name: str
    cpus: str


EXACT_INTEGERS = Arithmetic(
    "u8 x s8, exact",
    "x86 with VNNI, x86 without it (where the runtime has onnxruntime turn signed weights into unsigned ones, so that "
    "nothing saturates) and ARM with dot products: integer products are exact on all of them; what is left in fp32 may "
    "be summed in another order.",
)
FLOATS = Arithmetic(
    "fp32", "All x86 and ARM CPUs: sums in another order move a component by some 1e-7, which is below these figures."
)
PER_TOKEN = Arithmetic(
    "u8 x s8, per token",
    "x86 with AVX-512 VNNI, AMX or AVX-VNNI, and ARM: activations have 256 levels, one scale for each token. Products "
    "give the same bits on all of them; attention is in floats on ARM, which is a little nearer.",
)
PER_TOKEN_7_BITS = Arithmetic(
    "u7 x s8, per token",
    "x86 with AVX2 and none of the newer instructions: activations have 128 levels, one scale for each token.",
)

CLASSES = (PER_TOKEN, PER_TOKEN_7_BITS, EXACT_INTEGERS, FLOATS)

SEVEN_BITS = "avx2"
"""The instruction set of ``PER_TOKEN_7_BITS``; all others are of ``PER_TOKEN``."""

ISA_SETTING = "KERNELS_ISA"
"""The runtime's setting that forces an instruction set."""

LOST_AGAIN = 1.5
"""A sound runtime may lose this many times what the golden texts lost when they were measured."""

LOST_WITH_7_BITS = 4.0
"""Half as many levels make an error twice as large, and what a cosine lacks grows with the error's square."""


@dataclass(frozen=True)
class Pass:
    """One run over all texts; ``settings``: what the runtime is told, beside what it is told always."""

    arithmetic: Arithmetic
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measuring:
    """``passes``: the first is this machine's best. ``lost``: how many times as much as was measured a sound runtime
    may lose on a golden text; ``slack``: how much lower its cosine may be beyond that."""

    passes: tuple[Pass, ...]
    lost: float
    slack: float


def by_stock_kernels(arithmetic: Arithmetic, slack: float) -> Measuring:
    """onnxruntime's own kernels compute alike on all CPUs."""
    return Measuring((Pass(arithmetic),), LOST_AGAIN, slack)


def by_native_kernels(instruction_sets: Sequence[str], slack: float) -> Measuring:
    """The class of this machine's best instruction set, and then that of AVX2 where this machine has it, too.

    ``instruction_sets``: those of this machine, the best first. Where AVX2's class cannot be measured, golden texts
    leave room for it. Whatever the target: bundles for both have the same files.
    """
    best = Pass(PER_TOKEN_7_BITS if instruction_sets[0] == SEVEN_BITS else PER_TOKEN)
    if best.arithmetic is PER_TOKEN_7_BITS:
        return Measuring((best,), LOST_AGAIN, slack)
    if SEVEN_BITS in instruction_sets:
        return Measuring((best, Pass(PER_TOKEN_7_BITS, {ISA_SETTING: SEVEN_BITS})), LOST_AGAIN, slack)
    return Measuring((best,), LOST_AGAIN * LOST_WITH_7_BITS, slack)
