"""Describes the machine, the versions of what runs on it, and how busy others kept it."""

from __future__ import annotations

import datetime
import os
import platform
import re
import resource
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from bench import process_tree

CPUINFO = Path("/proc/cpuinfo")
X86_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
ARM_FLAGS = ("asimd", "asimddp", "i8mm", "sve", "bf16")
FLAGS = (*X86_FLAGS, *ARM_FLAGS)
"""Of a CPU's features, these decide how fast it multiplies small matrices."""

DISTURBED_PERCENT = 5.0
"""Figures say little where other processes used more than this share of all cores."""


@dataclass(frozen=True)
class Machine:
    cpu: str
    architecture: str
    cores: int
    """The number of cores that this process may use."""
    flags: tuple[str, ...]
    """The features among ``FLAGS`` that the CPU has."""
    kernel: str
    python: str
    load_average: float
    """The average number of busy processes in the minute before; above 0.5, others were measured as well."""

    def __str__(self) -> str:
        flags = " ".join(self.flags) or "none of the features that matter here"
        return f"{self.cpu}, {self.cores} cores, {self.architecture}: {flags}"


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
    """The CPU's name and its features among ``FLAGS``. ARM has codes where x86 has a name."""

    def value(*keys: str) -> str:
        for key in keys:
            if match := re.search(rf"^{key}[ \t]*:[ \t]*(.*)$", text, re.MULTILINE):
                return match[1].strip()
        return ""

    name = value("model name") or f"implementer {value('CPU implementer')} part {value('CPU part')}"
    generation = f"family {value('cpu family')} model {value('model')}" if value("cpu family") else ""
    features = set(value("flags", "Features").split())
    return f"{name} ({generation})" if generation else name, tuple(flag for flag in FLAGS if flag in features)


def versions_in(environment: Path, packages: Iterable[str]) -> dict[str, str]:
    """The versions of those of ``packages`` that a virtual environment contains."""
    wanted = set(packages)
    paths = [str(path) for path in environment.glob("lib/python3*/site-packages")]
    found = {package.name.lower().replace("_", "-"): package.version for package in distributions(path=paths)}
    return {name: found[name] for name in sorted(wanted & set(found))}


def commit(root: Path) -> str:
    """A checkout's commit, with a plus where tracked files differ from it; empty outside a checkout."""
    name = _git(root, "rev-parse", "--short=12", "HEAD")
    changed = name and _git(root, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    return f"{name}+" if changed else name


def _git(root: Path, *arguments: str) -> str:
    """What git prints; empty where it fails or is missing."""
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return ""


def heading(machine: Machine, root: Path, note: str = "") -> str:
    """The first lines of a report: when something is measured, from which checkout, and where.

    ``note``: what the reader should know about the machine's use.
    """
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    facts = "; ".join(filter(None, (str(machine), note, f"load average before: {machine.load_average:.2f}")))
    return f"{date}, commit {commit(root) or 'unknown'}\n{facts}"


def children_cpu_seconds() -> float:
    """CPU time of the children of this process that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def others_percent(machine_seconds: float, own_seconds: float, elapsed: float, cores: int) -> float:
    """Percent of ``cores`` that others used: the machine's CPU time without one's own."""
    return max(0.0, (machine_seconds - own_seconds) / (elapsed * cores) * 100)


class OtherLoad:
    """How much of the cores others have used since this was created."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._machine, self._own = process_tree.machine_cpu_seconds(), _own_cpu_seconds()

    def percent(self) -> float:
        """Percent of all cores, without this process and its children that have ended."""
        return others_percent(
            process_tree.machine_cpu_seconds() - self._machine,
            _own_cpu_seconds() - self._own,
            time.perf_counter() - self._start,
            len(os.sched_getaffinity(0)),
        )


def _own_cpu_seconds() -> float:
    return time.process_time() + children_cpu_seconds()


def disturbance(percent: float) -> str:
    """A line about how busy others were, as a warning where it matters."""
    if percent <= DISTURBED_PERCENT:
        return f"other processes used {percent:.0f} % of the cores"
    return f"WARNING: other processes used {percent:.0f} % of the cores: measure again on a quiet machine"
