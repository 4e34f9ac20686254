"""Lists the engines that are timed, and with which instruction sets: one row each."""

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


class Files(StrEnum):
    """What an engine loads."""

    NATIVE = "native"
    STOCK = "stock"
    FP32 = "fp32"
    OPENVINO = "openvino"
    ORIGINAL = "original"


@dataclass(frozen=True)
class System:
    """``engine``: as bench.models.engines.worker has it. ``short``: its name on the command line."""

    name: str
    short: str
    engine: str
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
    """``name``: as the native kernels call it. ``onednn``: OpenVINO's name of the same, "" for no limit.

    onnxruntime itself can be kept from AMX alone: beside a narrower set it uses all else that the CPU has.
    """

    name: str
    target: Target
    onednn: str = ""
    deny_amx: bool = True


INSTRUCTION_SETS = (
    InstructionSet("amx", Target.AMD64, deny_amx=False),
    InstructionSet("avx512vnni", Target.AMD64),
    InstructionSet("avxvnni", Target.AMD64, onednn="AVX2_VNNI"),
    InstructionSet("avx2", Target.AMD64, onednn="AVX2"),
    InstructionSet("neon_i8mm", Target.ARM64, deny_amx=False),
    InstructionSet("neon_dot", Target.ARM64, deny_amx=False),
)
"""The best first. The scalar kernels are for no CPU that anybody would choose."""


@dataclass(frozen=True)
class Spec:
    """A process: the system that it runs, and what it may use. Rows with the same one share its times."""

    system: System
    isa: str | None = None
    deny_amx: bool = False
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Row:
    """A line of the table. ``spec`` is None for an instruction set that this machine does not have."""

    isa: str
    name: str
    spec: Spec | None


def rows(systems: Sequence[System], available: Sequence[str], target: Target, amx: bool) -> list[Row]:
    """For each instruction set its 8-bit systems, then those in fp32. ``available``: as the native kernels tell it.

    ``amx``: whether the CPU has it, so that others than the first have to be kept from it.
    """
    sets = [one for one in INSTRUCTION_SETS if one.target is target]
    best = next((one.name for one in sets if one.name in available), None)
    found: list[Row] = []
    for one in sets:
        if one.name not in available:
            found.append(Row(one.name, "–", None))
            continue
        found += [_row(system, one, one.name != best, amx) for system in systems if system.name in INT8]
    plain = [Row("as the CPU has it", system.name, Spec(system)) for system in systems if system.name not in INT8]
    return found + plain


def default_rows(all_rows: Sequence[Row]) -> list[Row]:
    """Of each system the first that runs here: what it does if nothing is forced."""
    chosen: dict[str, Row] = {}
    for row in all_rows:
        if row.spec is not None:
            chosen.setdefault(row.spec.system.name, row)
    return list(chosen.values())


def _row(system: System, one: InstructionSet, forced: bool, amx: bool) -> Row:
    """Nothing is forced where nothing needs to be, so that the best set's rows are what a user gets."""
    deny_amx = one.deny_amx and amx
    if system.name == NATIVE:
        return Row(one.name, system.name, Spec(system, one.name if forced else None, deny_amx))
    if not (forced and one.onednn):
        return Row(one.name, system.name, Spec(system, None, deny_amx))
    if system.name == OPENVINO:
        return Row(one.name, system.name, Spec(system, None, deny_amx, (("ONEDNN_MAX_CPU_ISA", one.onednn),)))
    return Row(one.name, f"{system.name}, not limited", Spec(system, None, deny_amx))
