"""The inner loops of a compiled kernel library: where they are, what they consist of, and how many cycles they take.

The sources mark a step of each loop with an entry of the section ``.cpu2vec.loops``. LLVM's tools disassemble the
library, and its scheduling models of CPUs estimate cycles, so that nothing here depends on the machine's speed.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.kernels import ARCHITECTURES
from manifest import Target

LLVM = 19
SECTION = ".cpu2vec.loops"
ITERATIONS = 200

INSTRUCTION = re.compile(r"\s*([0-9a-f]+):\s+(\S.*?)(?:\s+(?:<.*>|# 0x.*|//.*))?$")
BRANCH = re.compile(r"(?:j\w+|b|b\.\w+|cbn?z\s+\w+,|tbn?z\s+\w+, \S+,)\s+0x([0-9a-f]+)")


@dataclass(frozen=True)
class Loop:
    """A loop without branches inside."""

    rows: int
    vectors: int
    """A step adds to ``rows`` x ``vectors`` sums."""
    ahead: int
    """How many lines a step prefetches for each quad of input channels."""
    instructions: tuple[str, ...]
    """All but the branch."""

    def those(self, pattern: str) -> list[str]:
        """The instructions that ``pattern`` matches from their beginning."""
        return [instruction for instruction in self.instructions if re.match(pattern, instruction)]


def inner_loops(library: Path, scratch: Path) -> list[Loop]:
    """Every marked loop of the library."""
    listing = _run("llvm-objdump", "-d", "--no-show-raw-insn", library)
    code = [(int(match[1], 16), match[2]) for match in map(INSTRUCTION.match, listing.splitlines()) if match]
    section = scratch / "loops"
    _run("llvm-objcopy", f"--dump-section={SECTION}={section}", library, scratch / "copy")
    return [_loop(code, *entry) for entry in struct.iter_unpack("<4Q", section.read_bytes())]


@dataclass(frozen=True)
class Estimate:
    """How a CPU runs a loop if nothing misses the cache."""

    instructions: tuple[str, ...]
    cycles: float
    """Of an iteration."""
    uses: tuple[tuple[int, int, float], ...]
    """Instruction, port, and for how many cycles of an iteration the one uses the other."""

    def busiest_port(self, pattern: str) -> float:
        """For how many cycles the instructions that ``pattern`` matches use the port that they use most."""
        ports: dict[int, float] = {}
        for instruction, port, usage in self.uses:
            if re.match(pattern, self.instructions[instruction]):
                ports[port] = ports.get(port, 0) + usage
        return max(ports.values(), default=0)


def estimate(instructions: Sequence[str], target: Target, cpu: str) -> Estimate:
    """What LLVM's model of ``cpu``, a name of LLVM's, says."""
    triple = f"-mtriple={ARCHITECTURES[target].machine}"
    text = _run("llvm-mca", triple, f"-mcpu={cpu}", f"-iterations={ITERATIONS}", "-json", given="\n".join(instructions))
    region: dict[str, Any] = json.loads(text)["CodeRegions"][0]
    uses = tuple(
        (use["InstructionIndex"], use["ResourceIndex"], use["ResourceUsage"])
        for use in region["ResourcePressureView"]["ResourcePressureInfo"]
        if use["InstructionIndex"] < len(instructions)  # behind them is the total
    )
    return Estimate(tuple(instructions), region["SummaryView"]["TotalCycles"] / ITERATIONS, uses)


def _loop(code: list[tuple[int, str]], address: int, rows: int, vectors: int, ahead: int) -> Loop:
    """The loop around an address: up to the next branch, and from where that goes to."""
    inside = end = bisect_left(code, (address,))
    while not (branch := BRANCH.match(code[end][1])):
        end += 1
    begin = bisect_left(code, (int(branch[1], 16),))
    assert begin <= inside, f"no loop around {address:#x}"
    instructions = tuple(text for _, text in code[begin:end])
    assert not any(map(BRANCH.match, instructions)), f"a branch in the loop around {address:#x}"
    return Loop(rows, vectors, ahead, instructions)


def _run(tool: str, *arguments: object, given: str = "") -> str:
    name = f"{tool}-{LLVM}"
    assert shutil.which(name), f"{name} is missing: apt-get install llvm-{LLVM}"
    command = [name, *map(str, arguments)]
    result = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout
