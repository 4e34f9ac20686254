"""Counts the cores that this process may use: CPU affinity and the cgroups' CPU quota, not the host's cores."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.host.cgroups import cgroup_folders, read_setting


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
    quotas = [_quota(version, folder) for version, folder in cgroup_folders("cpu", root)]
    return min((quota for quota in quotas if quota > 0), default=None)


def _quota(version: int, folder: Path) -> float:
    """Quota by period, both in microseconds; 0 where there is no limit.

    Version 2 writes both into ``cpu.max``, and «max» for no limit (kernel documentation, cgroup-v2); version 1 has a
    file for each, and −1 for no limit (sched-bwc).
    """
    if version == 2:
        quota, _, period = read_setting(folder / "cpu.max").partition(" ")
    else:
        quota, period = read_setting(folder / "cpu.cfs_quota_us"), read_setting(folder / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else 0.0
