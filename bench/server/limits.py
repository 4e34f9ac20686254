"""Limits servers to an instruction set, so that a machine can stand for an older one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bench.server.system import Launch, System
from build.model.files import ModelFiles

LIMITS: Mapping[str, Mapping[str, str]] = {
    "avx2": {
        "KERNELS_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
    "avx512vnni": {"KERNELS_ISA": "avx512vnni", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"},
}
"""By instruction set, the variables that this project's kernels, PyTorch, its MKL and oneDNN obey.

NOTE: onnxruntime's own kernels obey none.
"""


def limited_to(isa: str, system: System) -> System:
    """The system, kept from wider instruction sets as far as its libraries can be."""

    def launch(model: ModelFiles, port: int) -> Launch:
        usual = system.launch(model, port)
        return replace(usual, environment={**usual.environment, **LIMITS[isa]})

    return replace(system, about=f"{system.about}, limited to {isa}", launch=launch)
