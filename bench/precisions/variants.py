"""The ways of storing weights that are compared, each with a bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bench.bundles import unverified_bundle
from bench.progress import Log
from build.host.machine import host_target, instruction_sets
from build.kernels import ensure
from build.precisions import PRECISIONS
from manifest import Precision

UNCALIBRATED, STOCK, NATIVE, FP32 = "int8-stock, uncalibrated", "int8-stock", "int8", "fp32"

OLDER = "avx2"
"""The instruction set of x86 CPUs without VNNI."""


@dataclass(frozen=True)
class Variant:
    """One bundle as it is measured."""

    bundle: Path
    isa: str | None = None
    """The instruction set that native kernels must use; None for their own choice."""


def build_variants(model: str, folder: Path, log: Log) -> dict[str, Variant]:
    """By name; the native bundle a second time with the instructions of an older CPU. Raises ``BuildError``."""
    target = host_target()
    stock = PRECISIONS[Precision.INT8_STOCK]
    specs = {
        UNCALIBRATED: replace(stock, calibrate=False),
        STOCK: stock,
        NATIVE: PRECISIONS[Precision.INT8],
        FP32: PRECISIONS[Precision.FP32],
    }
    variants = {}
    for number, (name, spec) in enumerate(specs.items()):
        log(f"building the bundle of {name}")
        variants[name] = Variant(unverified_bundle(model, spec, folder / str(number)))
    if OLDER in instruction_sets(ensure(target))[1:]:
        variants[f"{NATIVE}, {OLDER}"] = replace(variants[NATIVE], isa=OLDER)
    return variants
