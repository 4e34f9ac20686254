"""Reads memory, file descriptors and CPU time of a process, its descendants, and the machine from /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
KILOBYTE = 1024
MEGABYTE = 1e6


@dataclass(frozen=True)
class Memory:
    """The memory of a whole process tree."""

    rss_mb: float
    """Counts pages that several processes map once in each."""
    pss_mb: float
    """Divides pages that several processes map among them."""


def tree(pid: int) -> list[int]:
    """``pid`` and all its descendants that are alive now."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def memory(pids: list[int]) -> Memory:
    rss = pss = 0
    for pid in pids:
        for line in _read(PROC / str(pid) / "smaps_rollup").splitlines():
            name, _, value = line.partition(":")
            if name == "Rss":
                rss += int(value.split()[0])
            elif name == "Pss":
                pss += int(value.split()[0])
    return Memory(rss_mb=rss * KILOBYTE / MEGABYTE, pss_mb=pss * KILOBYTE / MEGABYTE)


def descriptors(pids: list[int]) -> int:
    """The number of their open file descriptors."""
    total = 0
    for pid in pids:
        with suppress(OSError):  # it has ended
            total += len(os.listdir(PROC / str(pid) / "fd"))
    return total


def cpu_seconds(pids: list[int]) -> float:
    """User and system time that the processes have used so far."""
    ticks = 0
    for pid in pids:
        if fields := _stat(pid):
            ticks += int(fields[11]) + int(fields[12])
    return ticks * TICK_SECONDS


def machine_cpu_seconds() -> float:
    """CPU time of all processes so far, with what a hypervisor took away, without interrupts."""
    _label, *values = _read(PROC / "stat").splitlines()[0].split()
    user, nice, system, _idle, _iowait, _irq, _softirq, steal = (int(value) for value in values[:8])
    return (user + nice + system + steal) * TICK_SECONDS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (proc(5)); empty once the process is gone."""
    return _read(PROC / str(pid) / "stat").rpartition(")")[2].split()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
