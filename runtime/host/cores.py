"""The cores that this process may use, by CPU affinity and the cgroups' CPU quota, not the host's cores."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.host.cgroups import cgroup_folders, read_setting


def available_cores(affinity: int | None = None, root: Path = Path("/")) -> int:
    """Return the cores of the affinity mask or of the quota, whichever is less: a whole number, at least 1.

    The quota is rounded down, because one thread too many stalls all of them until the quota's next period. ``root`` is
    where /proc and /sys/fs/cgroup are found.
    """
    cores = affinity if affinity is not None else len(os.sched_getaffinity(0))
    quota = cgroup_quota(root)
    return cores if quota is None else max(1, min(cores, int(quota)))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """Return the smallest CPU quota of this process's cgroup and its ancestors, in cores, or None if there is none."""
    quotas = [_quota(version, folder) for version, folder in cgroup_folders("cpu", root)]
    return min((quota for quota in quotas if quota > 0), default=None)


def _quota(version: int, folder: Path) -> float:
    """Return quota / period, both in microseconds, or 0 if there is no limit.

    Version 2 has both in ``cpu.max``, with "max" for no limit (kernel documentation, cgroup-v2). Version 1 has a file
    for each, with -1 for no limit (kernel documentation, sched-bwc).
    """
    if version == 2:
        quota, _, period = read_setting(folder / "cpu.max").partition(" ")
    else:
        quota, period = read_setting(folder / "cpu.cfs_quota_us"), read_setting(folder / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else 0.0
