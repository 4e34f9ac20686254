"""Writes the files below /proc and /sys in which a machine states its cgroups and memory."""

from __future__ import annotations

from pathlib import Path


def machine(root: Path, cgroup: str, files: dict[str, str], meminfo: str = "") -> Path:
    """Write /proc/self/cgroup, /proc/meminfo and files below /sys/fs/cgroup. Returns ``root``."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/meminfo").write_text(meminfo)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
