"""Refuses, before any work, a model that this machine's memory or disk cannot hold while it is built."""

from __future__ import annotations

import os
from pathlib import Path

from build.errors import InsufficientResources, OutOfDisk

MEMORY_FACTOR, MEMORY_FACTOR_INLINE, MEMORY_FIXED = 2.5, 3.7, 650_000_000
INLINE_BELOW = 2_000_000_000
DISK_FACTOR = 2.1
"""What a build takes at its peak, in fp32 weights and in bytes on top: measured, and rounded up.

Memory: the export holds the original, and once more the graph while it is written; PyTorch itself takes the rest.
A graph with less than ``INLINE_BELOW`` bytes is one file at first, which is held once more as it is written.
Disk, beside the model's own files: the export writes its weights twice; every other stage's input goes with its end.
"""


def check_resources(weights: int, memory: int | None, disk: int, output: Path) -> None:
    """``weights``, ``memory`` and ``disk`` in bytes: as fp32, available, and free at ``output``; None: not known.

    Raises ``OutOfDisk`` or ``InsufficientResources``.
    """
    need = int(DISK_FACTOR * weights)
    model = f"the model has {_format_size(weights)} of weights in fp32"
    if disk < need:
        raise OutOfDisk(
            f"{model}, building it takes {_format_size(need)} of disk at {output.parent}, and {_format_size(disk)} "
            "are free: make room, or choose another --output"
        )
    factor = MEMORY_FACTOR_INLINE if weights < INLINE_BELOW else MEMORY_FACTOR
    need = int(factor * weights) + MEMORY_FIXED
    if memory is not None and memory < need:
        raise InsufficientResources(
            f"{model}, building it takes {_format_size(need)} of memory, and {_format_size(memory)} are available: "
            "end other programs, raise the container's limit, or build on a larger machine"
        )


def free_disk(path: Path) -> int:
    """Bytes that this user may write where ``path`` lies, or will lie."""
    existing = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    system = os.statvfs(existing)
    return system.f_bavail * system.f_frsize


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: the machine's, or what its cgroups leave; None where nothing says.

    Memory that only caches files counts as available. ``root`` is where /proc and /sys/fs/cgroup are found.
    """
    fields = _numbers(root / "proc/meminfo")
    room = [1024 * fields["MemAvailable:"]] if "MemAvailable:" in fields else []
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            room += [_headroom(folder, "memory.max", "memory.current", "") for folder in _ancestors(mount, path)]
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
            for base in (mount / controllers, mount / "memory"):
                room += [_headroom(folder, *names) for folder in _ancestors(base, path)]
    return min((bytes_left for bytes_left in room if bytes_left is not None), default=None)


def _headroom(folder: Path, limit: str, usage: str, prefix: str) -> int | None:
    """What a cgroup's limit leaves; None without one (kernel documentation, cgroup-v2 and cgroup-v1/memory)."""
    most, used = _read(folder / limit), _read(folder / usage)
    if not (most.isdigit() and used.isdigit()):  # NOTE: version 2 says «max».
        return None
    fields = _numbers(folder / "memory.stat")
    cache = sum(fields.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
    return max(0, int(most) - int(used) + cache)


def _ancestors(mount: Path, path: str) -> list[Path]:
    """The cgroup's folder and all above it up to the mount; the mount alone where the path lies outside it."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _numbers(file: Path) -> dict[str, int]:
    """The lines «name number» of a file of the kernel's."""
    rows = [line.split() for line in _read(file).splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _format_size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
