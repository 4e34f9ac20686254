"""How many cores a container may use: affinity, and quotas as the kernel's two cgroup versions write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.host.cores import available_cores, cgroup_quota
from tests.support.machine_files import machine


def test_without_a_quota_the_affinity_decides(tmp_path: Path):
    root = machine(tmp_path, "0::/\n", {"cpu.max": "max 100000\n"})
    assert available_cores(affinity=6, root=root) == 6


def test_the_affinity_is_this_processs_own(tmp_path: Path):
    assert available_cores(root=tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "cores"),
    [("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1), ("300000 100000", 3), ("900000 100000", 4)],
)
def test_a_quota_of_version_2_is_rounded_down_to_at_least_one(tmp_path: Path, text: str, cores: int):
    root = machine(tmp_path, "0::/\n", {"cpu.max": text})
    assert available_cores(affinity=4, root=root) == cores


def test_the_smallest_quota_of_all_levels_counts(tmp_path: Path):
    files = {"pod/cpu.max": "200000 100000", "pod/box/cpu.max": "max 100000", "cpu.max": "800000 100000"}
    assert cgroup_quota(machine(tmp_path, "0::/pod/box\n", files)) == 2.0


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
def test_a_quota_of_version_1(tmp_path: Path, folder: str):
    files = {f"{folder}/docker/1/cpu.cfs_quota_us": "250000", f"{folder}/docker/1/cpu.cfs_period_us": "100000"}
    cgroup = "5:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n1:name=systemd:/docker/1\n"
    assert cgroup_quota(machine(tmp_path, cgroup, files)) == 2.5


def test_a_version_1_path_outside_the_mount_falls_back_to_the_mount(tmp_path: Path):
    """In a container the path is often the host's, and the mount shows the container's own group."""
    files = {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}
    assert cgroup_quota(machine(tmp_path, "4:cpu:/docker/not-visible-here\n", files)) == 1.0


def test_minus_one_is_no_quota_in_version_1(tmp_path: Path):
    files = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    assert cgroup_quota(machine(tmp_path, "4:cpu:/\n", files)) is None


@pytest.mark.parametrize("text", ["", "max", "x y", "max 0"])
def test_a_quota_that_cannot_be_read_is_none(tmp_path: Path, text: str):
    assert cgroup_quota(machine(tmp_path, "0::/\n", {"cpu.max": text})) is None


def test_a_machine_without_cgroups_has_no_quota(tmp_path: Path):
    assert cgroup_quota(tmp_path) is None
