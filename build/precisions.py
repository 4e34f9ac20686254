"""Lists how weights are stored for each precision, and how close the result must be: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from build.fidelity.cpu_classes import EXACT_INTEGERS, FLOATS, CpuClass
from build.fidelity.thresholds import Thresholds
from manifest import Precision


class Backend(StrEnum):
    """What computes a graph's matrix products."""

    NATIVE = "native"
    """The project's own kernels where they have the model's family, and otherwise onnxruntime's."""

    STOCK = "stock"
    """onnxruntime's own kernels."""


@dataclass(frozen=True)
class PrecisionSpec:
    """How one precision is made, and how close to the original it must be."""

    precision: Precision
    quantize: bool
    """Whether weights are stored in 8 bits, with one scale per output channel or less."""
    calibrate: bool
    """Whether scales and rounding are chosen by the error that is measured on calibration texts."""
    backend: Backend
    stock_class: CpuClass
    """The CPU class of onnxruntime's own kernels with these weights."""
    golden_tolerance: float
    """How much lower than measured a correct server's cosine may be, because CPUs sum in different orders."""
    thresholds: Thresholds
    """The figures below which a build fails, unless the user sets others."""


INT8 = Thresholds(mean=0.995, p1=0.985, minimum=0.97)
FP32 = Thresholds(mean=0.99999, p1=0.9999, minimum=0.9999)

PRECISIONS = {
    Precision.INT8: PrecisionSpec(
        Precision.INT8,
        quantize=True,
        calibrate=True,
        backend=Backend.NATIVE,
        stock_class=EXACT_INTEGERS,
        golden_tolerance=1e-4,
        thresholds=INT8,
    ),
    Precision.INT8_STOCK: PrecisionSpec(
        Precision.INT8_STOCK,
        quantize=True,
        calibrate=True,
        backend=Backend.STOCK,
        stock_class=EXACT_INTEGERS,
        golden_tolerance=1e-4,
        thresholds=INT8,
    ),
    Precision.FP32: PrecisionSpec(
        Precision.FP32,
        quantize=False,
        calibrate=False,
        backend=Backend.STOCK,
        stock_class=FLOATS,
        golden_tolerance=1e-5,
        thresholds=FP32,
    ),
    Precision.STORED: PrecisionSpec(
        Precision.STORED,
        quantize=False,
        calibrate=False,
        backend=Backend.STOCK,
        stock_class=FLOATS,
        golden_tolerance=1e-5,
        thresholds=FP32,
    ),
}
