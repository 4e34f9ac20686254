"""Compares what a build needs with the memory and disk of this machine, so that it can be refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

from build.command_line import format_size
from build.errors import InsufficientResources, OutOfDisk

MEMORY_FACTOR = 2.5
"""A build needs this many times the fp32 weights at its peak (measured, rounded up).

The export holds the original, and the graph once more while it is written.
"""

MEMORY_FACTOR_INLINE = 3.7
"""The same for a graph below ``INLINE_BELOW``, which is one file at first and held once more while it is written."""

MEMORY_FIXED = 650_000_000
"""PyTorch and the other libraries need these bytes of memory in addition."""

INLINE_BELOW = 2_000_000_000
"""The exporter writes graphs with fewer bytes than this into one file."""

DISK_FACTOR = 2.1
"""A build needs this many times the fp32 weights of disk, besides the model's own files (measured, rounded up).

The export writes its weights twice. Every other stage removes its input at its end.
"""


def check_resources(weights: int, memory: int | None, disk: int, output: Path) -> None:
    """Raise ``OutOfDisk`` or ``InsufficientResources`` where a build would not fit.

    ``weights`` is the bytes of the weights in fp32, ``memory`` the bytes that are available (None: unknown), and
    ``disk`` the bytes that are free at ``output``.
    """
    need = int(DISK_FACTOR * weights)
    model = f"the model has {format_size(weights)} of weights in fp32"
    if disk < need:
        raise OutOfDisk(
            f"{model}, so a build needs {format_size(need)} of disk at {output.parent}, and {format_size(disk)} "
            "are free: make room, or choose another --output"
        )
    factor = MEMORY_FACTOR_INLINE if weights < INLINE_BELOW else MEMORY_FACTOR
    need = int(factor * weights) + MEMORY_FIXED
    if memory is not None and memory < need:
        raise InsufficientResources(
            f"{model}, so a build needs {format_size(need)} of memory, and {format_size(memory)} are available: "
            "close other programs, raise the container's memory limit, or build on a larger machine"
        )


def free_disk(path: Path) -> int:
    """Return the bytes that this user may write to the file system where ``path`` is, or will be."""
    existing = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    system = os.statvfs(existing)
    return system.f_bavail * system.f_frsize


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that this process may still allocate, by the machine and its cgroups; None where unknown.

    Memory that only caches files counts as available. ``root`` is where /proc and /sys/fs/cgroup are found.
    """
    # NOTE: runtime/host/cgroups.py reads the same files. Build and runtime import nothing from each other.
    fields = _numbers(root / "proc/meminfo")
    limits: list[int | None] = [1024 * fields["MemAvailable:"]] if "MemAvailable:" in fields else []
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            limits += [_headroom(folder, "memory.max", "memory.current", "") for folder in _ancestors(mount, path)]
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
            for base in (mount / controllers, mount / "memory"):
                limits += [_headroom(folder, *names) for folder in _ancestors(base, path)]
    return min((limit for limit in limits if limit is not None), default=None)


def _headroom(folder: Path, limit: str, usage: str, prefix: str) -> int | None:
    """Return what a cgroup's limit leaves; None where it has none (kernel's cgroup-v2 and cgroup-v1/memory pages)."""
    most, used = _read(folder / limit), _read(folder / usage)
    if not (most.isdigit() and used.isdigit()):  # NOTE: version 2 writes "max".
        return None
    fields = _numbers(folder / "memory.stat")
    cache = sum(fields.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
    return max(0, int(most) - int(used) + cache)


def _ancestors(mount: Path, path: str) -> list[Path]:
    """Return a cgroup's folder and its parents up to the mount."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _numbers(file: Path) -> dict[str, int]:
    """Parse the lines of a kernel's file that consist of a name and a number."""
    rows = [line.split() for line in _read(file).splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
