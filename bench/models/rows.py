"""The systems that are timed, and with which instruction sets: one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from manifest import Target

NATIVE = "cpu2vec int8"
STOCK = "onnxruntime int8 per channel"
OPENVINO = "OpenVINO int8 (NNCF)"
ORT_FP32 = "onnxruntime fp32"
TORCH_FP32 = "PyTorch fp32"

ONEDNN_LIMIT = "ONEDNN_MAX_CPU_ISA"
"""The environment variable that keeps OpenVINO from wider instruction sets."""


class Files(StrEnum):
    """What an engine loads."""

    NATIVE = "native"
    STOCK = "stock"
    FP32 = "fp32"
    OPENVINO = "openvino"
    ORIGINAL = "original"


@dataclass(frozen=True)
class System:
    """An engine with a kind of model that it runs."""

    name: str
    short: str
    """The name on the command line."""
    engine: str
    """One of ``bench.models.engines.worker.ENGINES``."""
    files: Files


SYSTEMS = (
    System(NATIVE, "cpu2vec", "onnxruntime", Files.NATIVE),
    System(STOCK, "stock", "onnxruntime", Files.STOCK),
    System(OPENVINO, "openvino", "openvino", Files.OPENVINO),
    System(ORT_FP32, "ort-fp32", "onnxruntime", Files.FP32),
    System(TORCH_FP32, "torch-fp32", "torch", Files.ORIGINAL),
)
INT8 = (NATIVE, STOCK, OPENVINO)


@dataclass(frozen=True)
class InstructionSet:
    """An instruction set that the int8 systems are compared with.

    onnxruntime itself can only be kept from AMX: beside a narrower set it still uses all else that the CPU has.
    """

    name: str
    """As the native kernels call it."""
    target: Target
    onednn: str = ""
    """OpenVINO's name of the same set; empty for no limit."""
    deny_amx: bool = True
    """Whether the processes of this set must be kept from AMX."""


INSTRUCTION_SETS = (
    InstructionSet("amx", Target.AMD64, deny_amx=False),
    InstructionSet("avx512vnni", Target.AMD64),
    InstructionSet("avxvnni", Target.AMD64, onednn="AVX2_VNNI"),
    InstructionSet("avx2", Target.AMD64, onednn="AVX2"),
    InstructionSet("neon_i8mm", Target.ARM64, deny_amx=False),
    InstructionSet("neon_dot", Target.ARM64, deny_amx=False),
)
"""The best set of an architecture comes first. The scalar kernels are left out: no CPU should run them."""


@dataclass(frozen=True)
class Spec:
    """A process: the system that it runs, and what it may use. Rows with an equal spec share its times."""

    system: System
    isa: str | None = None
    deny_amx: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    callers: int = 1
    """So many threads run the model at once."""


@dataclass(frozen=True)
class Row:
    """A row of the table; ``spec`` is None for an instruction set that this machine does not have."""

    isa: str
    name: str
    spec: Spec | None


def rows(systems: Sequence[System], available: Sequence[str], target: Target, amx: bool) -> list[Row]:
    """For each instruction set its int8 systems, then the systems in fp32.

    ``available``: the instruction sets that the native kernels can use here. ``amx``: whether the CPU has AMX, so that
    the rows of other sets must be kept from it.
    """
    sets = [isa for isa in INSTRUCTION_SETS if isa.target is target]
    best = next((isa.name for isa in sets if isa.name in available), None)
    found: list[Row] = []
    for isa in sets:
        if isa.name not in available:
            found.append(Row(isa.name, "–", None))
            continue
        found += [_row(system, isa, isa.name != best, amx) for system in systems if system.name in INT8]
    fp32 = [Row("the CPU's best", system.name, Spec(system)) for system in systems if system.name not in INT8]
    return found + fp32


def default_rows(all_rows: Sequence[Row]) -> list[Row]:
    """The first row of each system that runs here: what the system does if nothing is forced."""
    chosen: dict[str, Row] = {}
    for row in all_rows:
        if row.spec is not None:
            chosen.setdefault(row.spec.system.name, row)
    return list(chosen.values())


def _row(system: System, isa: InstructionSet, forced: bool, amx: bool) -> Row:
    """Forces nothing where nothing needs to be forced, so that the rows of the best set are what a user gets."""
    deny_amx = isa.deny_amx and amx
    if system.name == NATIVE:
        return Row(isa.name, system.name, Spec(system, isa.name if forced else None, deny_amx))
    if not (forced and isa.onednn):
        return Row(isa.name, system.name, Spec(system, None, deny_amx))
    if system.name == OPENVINO:
        return Row(isa.name, system.name, Spec(system, None, deny_amx, ((ONEDNN_LIMIT, isa.onednn),)))
    return Row(isa.name, f"{system.name}, not limited", Spec(system, None, deny_amx))
