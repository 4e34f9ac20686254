"""Describes the machine, and the versions of what runs on it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
    "bf16",
)
"""Of all that a CPU can, what decides how fast it multiplies small matrices; the last five are of ARM."""


@dataclass(frozen=True)
class Machine:
    cpu: str
    architecture: str
    cores: int
    flags: tuple[str, ...]
    kernel: str
    python: str
    load_average: float
    """How many processes were busy in the minute before: above 0.5, somebody else was measured too."""


def describe_machine() -> Machine:
    name, flags = parse_cpuinfo(CPUINFO.read_text())
    return Machine(
        cpu=name,
        architecture=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        flags=flags,
        kernel=platform.release(),
        python=platform.python_version(),
        load_average=os.getloadavg()[0],
    )


def parse_cpuinfo(text: str) -> tuple[str, tuple[str, ...]]:
    """The CPU's name and those of ``FLAGS`` that it has. x86 names both; ARM has codes where x86 has a name."""

    def value(*keys: str) -> str:
        for key in keys:
            if match := re.search(rf"^{key}[ \t]*:[ \t]*(.*)$", text, re.MULTILINE):
                return match[1].strip()
        return ""

    name = value("model name") or f"implementer {value('CPU implementer')} part {value('CPU part')}"
    generation = f"family {value('cpu family')} model {value('model')}" if value("cpu family") else ""
    has = set(value("flags", "Features").split())
    return f"{name} ({generation})" if generation else name, tuple(flag for flag in FLAGS if flag in has)


def versions_in(environment: Path, packages: Iterable[str]) -> dict[str, str]:
    """The versions of those of ``packages`` that a virtual environment holds."""
    wanted = set(packages)
    paths = [str(path) for path in environment.glob("lib/python3*/site-packages")]
    found = {found.name.lower().replace("_", "-"): found.version for found in distributions(path=paths)}
    return {name: found[name] for name in sorted(wanted & set(found))}


def commit(root: Path) -> str:
    """The checkout's commit, with a plus where files differ from it; empty outside a checkout."""
    result = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip()
