"""Defines what preparation hands to quantization."""

from __future__ import annotations

from dataclasses import dataclass

from build.quantization.linear_inputs import LinearInput
from build.quantization.record import Treatment
from build.quantization.rounding import QuantizedMatrix
from build.quantization.smoothing import Scaling


@dataclass(frozen=True)
class ScaledInput:
    """An activation whose channels are scaled before its products."""

    linear_input: LinearInput
    scaling: Scaling

    @property
    def folded(self) -> bool:
        """Whether what makes the activation takes the divisors in, so that no node is needed."""
        return self.linear_input.norm is not None and not self.scaling.repeats


@dataclass(frozen=True)
class Prepared:
    """What integer products need to be near the exact ones.

    ``rounded``: by a matrix's name, for its input as it is after scaling, mapped from disk. ``tables``: names of the
    embeddings that are stored with one scale per row.
    """

    scaled: tuple[ScaledInput, ...]
    rounded: dict[str, QuantizedMatrix]
    tables: tuple[str, ...]
    treatments: tuple[Treatment, ...]


UNPREPARED = Prepared(scaled=(), rounded={}, tables=(), treatments=())
"""Nothing is known of the activations: weights go to their nearest steps."""
