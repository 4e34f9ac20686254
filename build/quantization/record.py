"""Says how one weight of a bundle is stored, and what that cost."""

from __future__ import annotations

from dataclasses import dataclass

BY_COLUMN, BY_ROW = "int8, one scale per column", "int8, one scale per row"


@dataclass(frozen=True)
class Treatment:
    """How one weight is stored.

    ``weight`` is its name, or that of what reads it where an export gave it none; ``storage`` is in words, such as
    «int8, one scale per column» or «fp32». ``smoothing``: SmoothQuant's alpha, None: not smoothed; ``repeated``: how
    many input channels were added by repeating the largest. ``folded``: the smoothing costs no node at run time.
    ``rounding``: «gptq» or «nearest». ``error``: relative root-mean-square error of what the weight yields on
    calibration texts, None where it was not measured.
    """

    weight: str
    shape: tuple[int, ...]
    storage: str
    smoothing: float | None
    repeated: int
    folded: bool
    rounding: str
    error: float | None


def nearest(weight: str, shape: tuple[int, ...], storage: str) -> Treatment:
    """Of a weight of whose products nothing is known."""
    return Treatment(weight, shape, storage, smoothing=None, repeated=0, folded=False, rounding="nearest", error=None)
