"""Says how one weight of a bundle is stored, and what that cost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Treatment:
    """How one weight is stored.

    ``weight`` is the initializer's name in the graph; ``storage`` is in words, such as «int8, one scale per column» or
    «fp32». ``smoothing``: SmoothQuant's alpha, None: not smoothed. ``folded``: the smoothing scale costs no extra node
    at run time. ``rounding``: «gptq» or «nearest». ``error``: relative root-mean-square error of what the weight yields
    on calibration texts, None where it was not measured.
    """

    weight: str
    shape: tuple[int, ...]
    storage: str
    smoothing: float | None
    folded: bool
    rounding: str
    error: float | None
