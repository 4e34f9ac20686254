"""Decides whether both towers are close enough to the original's. Pure functions."""

from __future__ import annotations

from build.errors import FidelityTooLow
from build.fidelity.gate import check
from build.fidelity.report import MeasuredClass
from build.fidelity.thresholds import Thresholds
from manifest import Precision

INT8 = Thresholds(mean=0.995, p1=0.985, minimum=0.98)

IMAGES = {
    Precision.INT8: INT8,
    Precision.INT8_STOCK: INT8,
    Precision.FP32: Thresholds(mean=0.99999, p1=0.9999, minimum=0.9999),
}
"""What images must reach, by precision."""


def check_towers(
    texts: MeasuredClass,
    images: MeasuredClass,
    required_of_texts: Thresholds,
    required_of_images: Thresholds,
    precision: Precision,
) -> None:
    """Raises ``FidelityTooLow`` that names the tower, each figure below its threshold, and what to do."""
    for tower, measured, required in (("text", texts, required_of_texts), ("image", images, required_of_images)):
        try:
            check(measured, required, precision)
        except FidelityTooLow as error:
            raise FidelityTooLow(f"{tower} tower: {error}") from None
