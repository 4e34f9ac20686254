"""How one weight of a bundle is stored, and the error that this causes."""

from __future__ import annotations

from dataclasses import dataclass

BY_COLUMN, BY_ROW = "int8, one scale per column", "int8, one scale per row"


@dataclass(frozen=True)
class WeightRecord:
    """How one weight is stored."""

    weight: str
    """The weight's name, or that of the node that reads it where the export gave it none."""

    shape: tuple[int, ...]

    storage: str
    """The format in words, such as "int8, one scale per column" or "fp32"."""

    smoothing: float | None
    """SmoothQuant's alpha; None: not smoothed."""

    repeated: int
    """How many input channels were added by splitting outliers."""

    folded: bool
    """Whether the scaling needs no node at run time."""

    rounding: str
    """Either "gptq" or "nearest"."""

    error: float | None
    """Relative root-mean-square error of the weight's products on the calibration texts; None: not measured."""


def round_to_nearest_record(weight: str, shape: tuple[int, ...], storage: str) -> WeightRecord:
    """Return the record of a weight that is rounded to the nearest values, without calibration."""
    return WeightRecord(
        weight, shape, storage, smoothing=None, repeated=0, folded=False, rounding="nearest", error=None
    )
