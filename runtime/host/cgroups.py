"""The cgroups of this process, in both of the kernel's versions. Their files limit processor and memory."""

from __future__ import annotations

from pathlib import Path


def cgroup_folders(controller: str, root: Path) -> list[tuple[int, Path]]:
    """Return (version, folder) of this process's cgroup and of its ancestors, for a controller such as ``cpu``.

    ``root`` is where /proc and /sys/fs/cgroup are found. A folder need not exist: in a container, a version 1 path is
    often the host's, and the mount itself shows the container's own group.
    """
    # NOTE: build/host/resources.py reads the same files. Build and runtime import nothing from each other.
    mount = root / "sys/fs/cgroup"
    folders: list[tuple[int, Path]] = []
    for line in read_setting(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folders += [(2, folder) for folder in _ancestors(mount, path)]
        elif controller in controllers.split(","):
            for base in (mount / controllers, mount / controller):
                folders += [(1, folder) for folder in _ancestors(base, path)]
    return folders


def read_setting(path: Path) -> str:
    """Return the file's text without surrounding white space, or an empty string if it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _ancestors(mount: Path, path: str) -> list[Path]:
    """Return the cgroup's folder and its parents, up to the mount."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return [mount.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
