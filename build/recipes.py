"""Lists how weights are stored for each precision and target: one row each."""

from __future__ import annotations

from dataclasses import dataclass

from manifest import Precision, Target


@dataclass(frozen=True)
class Recipe:
    """How one precision is made for one target.

    ``quantize``: matrix products with signed 8-bit weights, one scale per output channel.
    ``arithmetic``: the class of arithmetic, the same for all CPUs that round alike; the key in ``fidelity.json``.
    ``golden_slack``: how much lower than measured a sound runtime's cosine may be, where CPUs sum in another order.
    """

    precision: Precision
    target: Target
    quantize: bool
    arithmetic: str
    golden_slack: float


RECIPES = (
    Recipe(Precision.INT8, Target.AMD64, quantize=True, arithmetic="u8 x s8, exact", golden_slack=1e-4),
    Recipe(Precision.INT8, Target.ARM64, quantize=True, arithmetic="u8 x s8, exact", golden_slack=1e-4),
    Recipe(Precision.FP32, Target.AMD64, quantize=False, arithmetic="fp32", golden_slack=1e-5),
    Recipe(Precision.FP32, Target.ARM64, quantize=False, arithmetic="fp32", golden_slack=1e-5),
)


def recipe_for(precision: Precision, target: Target) -> Recipe:
    """The row for a precision and a target."""
    return next(row for row in RECIPES if (row.precision, row.target) == (precision, target))
