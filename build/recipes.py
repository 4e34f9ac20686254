"""Lists how weights are stored for each precision and target, and how near they must come: one row each."""

from __future__ import annotations

from dataclasses import dataclass

from build.thresholds import Thresholds
from manifest import Precision, Target


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


@dataclass(frozen=True)
class Recipe:
    """How one precision is made for one target, and how near to the original it must come.

    ``quantize``: matrix products with signed 8-bit weights, one scale per output channel.
    ``prepare``: those are scaled and rounded by measured error first, and tables of embeddings have 8 bits, too.
    ``golden_slack``: how much lower than measured a sound runtime's cosine may be, where CPUs sum in another order.
    ``thresholds``: what a build fails below, unless it is told otherwise.
    """

    precision: Precision
    target: Target
    quantize: bool
    prepare: bool
    arithmetic: Arithmetic
    golden_slack: float
    thresholds: Thresholds


INT8 = Thresholds(mean=0.995, p1=0.985, minimum=0.97)
FP32 = Thresholds(mean=0.99999, p1=0.9999, minimum=0.9999)

RECIPES = (
    *(
        Recipe(
            precision,
            target,
            quantize=True,
            prepare=True,
            arithmetic=EXACT_INTEGERS,
            golden_slack=1e-4,
            thresholds=INT8,
        )
        for precision in (Precision.INT8, Precision.INT8_STOCK)
        for target in Target
    ),
    *(
        Recipe(
            Precision.FP32,
            target,
            quantize=False,
            prepare=False,
            arithmetic=FLOATS,
            golden_slack=1e-5,
            thresholds=FP32,
        )
        for target in Target
    ),
)


def recipe_for(precision: Precision, target: Target) -> Recipe:
    """The row for a precision and a target."""
    return next(row for row in RECIPES if (row.precision, row.target) == (precision, target))
