"""Counts the cores that this process may use: CPU affinity and the cgroups' CPU quota, not the host's cores."""

from __future__ import annotations

import os
from pathlib import Path


def available_cores(affinity: int | None = None, root: Path = Path("/")) -> int:
    """Whole cores, at least 1: the affinity mask's, or the quota's rounded down, whichever is less.

    Rounded down, because a thread more than the quota stalls all of them until the quota's next period.
    ``root`` is where /proc and /sys/fs/cgroup are found.
    """
    cores = affinity if affinity is not None else len(os.sched_getaffinity(0))
    quota = cgroup_quota(root)
    return cores if quota is None else max(1, min(cores, int(quota)))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """The smallest CPU quota, in cores, of this process's cgroup and those above it; None where there is none."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    mount = root / "sys/fs/cgroup"
    quotas: list[float] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            quotas += [_quota_v2(folder) for folder in _ancestors(mount, path)]
        elif "cpu" in controllers.split(","):
            for base in (mount / controllers, mount / "cpu"):
                quotas += [_quota_v1(folder) for folder in _ancestors(base, path)]
    return min((quota for quota in quotas if quota > 0), default=None)


def _ancestors(mount: Path, path: str) -> list[Path]:
    """The cgroup's folder and all above it up to the mount; the mount alone where the path lies outside it."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota_v2(folder: Path) -> float:
    """``cpu.max`` holds «quota period» in microseconds, or «max period» (kernel documentation, cgroup-v2)."""
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else 0.0


def _quota_v1(folder: Path) -> float:
    """``cpu.cfs_quota_us`` is −1 where there is no limit (kernel documentation, sched-bwc)."""
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
