"""What calibration hands to quantization."""

from __future__ import annotations

from dataclasses import dataclass

from build.quantization.linear_inputs import LinearInput
from build.quantization.record import WeightRecord
from build.quantization.rounding import QuantizedMatrix
from build.quantization.smoothing import ChannelScaling


@dataclass(frozen=True)
class ScaledInput:
    """An activation whose channels are scaled before its products."""

    linear_input: LinearInput
    scaling: ChannelScaling

    @property
    def folded(self) -> bool:
        """Whether the norm that produces the activation can absorb the scales, so that no node is needed."""
        return self.linear_input.norm is not None and not self.scaling.has_splits


@dataclass(frozen=True)
class CalibratedWeights:
    """What keeps integer products close to the exact ones."""

    scaled: tuple[ScaledInput, ...]

    quantized: dict[str, QuantizedMatrix]
    """By a matrix's name, quantized for its input as it is after scaling; the values are mapped from disk."""

    tables: tuple[str, ...]
    """Names of the embedding tables that are stored with one scale per row."""

    weight_records: tuple[WeightRecord, ...]


UNCALIBRATED = CalibratedWeights(scaled=(), quantized={}, tables=(), weight_records=())
"""Nothing is known about the activations: weights are rounded to the nearest values."""
