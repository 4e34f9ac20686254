"""Lists how weights are stored for each precision and target, and how near they must come: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from build.fidelity.cpu_classes import EXACT_INTEGERS, FLOATS, CpuClass
from build.fidelity.thresholds import Thresholds
from manifest import Precision, Target


class Kernels(StrEnum):
    """What computes a graph's products."""

    NATIVE = "native"
    """The project's own where they have the model's family, else onnxruntime's."""

    STOCK = "stock"
    """onnxruntime's own."""


@dataclass(frozen=True)
class Recipe:
    """How one precision is made for one target, and how near to the original it must come.

    ``quantize``: matrix products with signed 8-bit weights, one scale per output channel.
    ``kernels``: what they are made for. ``arithmetic``: that of onnxruntime's own kernels.
    ``prepare``: those are scaled and rounded by measured error first, and tables of embeddings have 8 bits, too.
    ``golden_slack``: how much lower than measured a sound runtime's cosine may be, where CPUs sum in another order.
    ``thresholds``: what a build fails below, unless it is told otherwise.
    """

    precision: Precision
    target: Target
    quantize: bool
    prepare: bool
    kernels: Kernels
    arithmetic: CpuClass
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
            kernels=kernels,
            arithmetic=EXACT_INTEGERS,
            golden_slack=1e-4,
            thresholds=INT8,
        )
        for precision, kernels in ((Precision.INT8, Kernels.NATIVE), (Precision.INT8_STOCK, Kernels.STOCK))
        for target in Target
    ),
    *(
        Recipe(
            Precision.FP32,
            target,
            quantize=False,
            prepare=False,
            kernels=Kernels.STOCK,
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
