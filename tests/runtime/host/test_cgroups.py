"""Which cgroups a process is in, in the kernel's two versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.host.cgroups import cgroup_folders, read_setting
from tests.support.machine_files import machine


def folders(root: Path, controller: str) -> list[tuple[int, str]]:
    """The folders, relative to where cgroups are mounted."""
    mount = root / "sys/fs/cgroup"
    return [(version, path.relative_to(mount).as_posix()) for version, path in cgroup_folders(controller, root)]


def test_in_version_2_the_group_and_its_ancestors_count_for_every_controller(tmp_path: Path):
    root = machine(tmp_path, "0::/pod/box\n", {})
    for controller in ("cpu", "memory"):
        assert folders(root, controller) == [(2, "pod/box"), (2, "pod"), (2, ".")]


def test_in_version_1_a_controller_has_groups_of_its_own(tmp_path: Path):
    root = machine(tmp_path, "5:memory:/docker/1\n4:cpu,cpuacct:/docker/2\n1:name=systemd:/docker/3\n", {})
    assert folders(root, "memory") == [(1, "memory/docker/1"), (1, "memory/docker"), (1, "memory")] * 2
    joint = [(1, "cpu,cpuacct/docker/2"), (1, "cpu,cpuacct/docker"), (1, "cpu,cpuacct")]
    assert folders(root, "cpu") == [*joint, (1, "cpu/docker/2"), (1, "cpu/docker"), (1, "cpu")]
    assert folders(root, "pids") == []


def test_a_machine_with_both_versions_has_groups_of_both(tmp_path: Path):
    root = machine(tmp_path, "5:memory:/one\n0::/two\n", {})
    assert [version for version, _ in folders(root, "memory")] == [1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("path", ["/../../etc", "/./pod/../..", "//pod//"])
def test_a_path_does_not_lead_out_of_the_mount(tmp_path: Path, path: str):
    found = folders(machine(tmp_path, f"0::{path}\n", {}), "cpu")
    assert found[-1] == (2, ".")
    assert not any(".." in folder for _, folder in found)


def test_a_machine_without_cgroups_has_none(tmp_path: Path):
    assert folders(tmp_path, "cpu") == []


def test_a_setting_is_read_without_white_space_and_a_missing_one_is_empty(tmp_path: Path):
    (tmp_path / "cpu.max").write_text(" max 100000\n")
    assert read_setting(tmp_path / "cpu.max") == "max 100000"
    assert read_setting(tmp_path / "missing") == ""
    assert read_setting(tmp_path) == ""
