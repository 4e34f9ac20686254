"""Runs the recipe of docs/images.md for an emulated ARM processor."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "images.md").read_text().split("\n## Under emulation\n")[1]


def emulated_cpu() -> str:
    """The processor that QEMU simulates."""
    (name,) = re.findall(r"--env QEMU_CPU=(\S+)", PAGE)
    return str(name)


def write_cpuinfo(directory: Path) -> Path:
    """Make the file that stands in for the host's /proc/cpuinfo."""
    (recipe,) = re.findall(r"^```sh\n(.*^done > cpuinfo$)", PAGE, re.DOTALL | re.MULTILINE)
    # Without OMP_NUM_THREADS, which nproc obeys.
    subprocess.run(["bash", "-e", "-c", recipe], cwd=directory, env={"PATH": os.environ["PATH"]}, check=True)
    return directory / "cpuinfo"
