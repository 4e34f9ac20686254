"""What a process uses: memory, processor time, file descriptors, as the kernel tells it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from pathlib import Path

from tests.support.patience import PATIENCE

MB = 1 << 20

WINDOW_SECONDS = 0.5
"""Longer than the time between two looks of an idle server at its deadlines."""

IDLE_TICKS = 3
"""The most ticks of the processor, of 10 ms each, that an idle server takes in a window."""


def resident_bytes(pid: int) -> int:
    """The memory that the process has now (RSS)."""
    return _status(pid, "VmRSS")


def private_bytes(pid: int) -> int:
    """The memory that the process shares with no other."""
    sizes = re.findall(r"^Private_\w+:\s+(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return sum(map(int, sizes)) << 10


def peak_bytes(pid: int) -> int:
    """The most that it ever had."""
    return _status(pid, "VmHWM")


def cpu_ticks(pid: int) -> int:
    """The processor's time that it took so far, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def nice_values(pid: int) -> dict[int, int]:
    """The nice value of each thread, by its id. That of the main thread is the process's."""
    return {
        int(task.name): os.getpriority(os.PRIO_PROCESS, int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()
    }


def open_descriptors(pid: int) -> int:
    """The number of its file descriptors."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def wait_until_idle(pid: int) -> int:
    """Wait until the process takes no more of the processor than an idle server; return its time, in ticks."""
    deadline = time.monotonic() + PATIENCE
    before = cpu_ticks(pid)
    while True:
        time.sleep(WINDOW_SECONDS)
        after = cpu_ticks(pid)
        if after - before <= IDLE_TICKS:
            return after
        assert time.monotonic() < deadline, "the process does not become idle"
        before = after


def with_memory(megabytes: int, directory: Path) -> list[str] | None:
    """What starts a command as on a machine with so much memory, as far as it is told; None where that cannot be done.

    Nothing enforces it: the kernel's file with the machine's memory is covered by another one, as lxcfs does.
    """
    file = directory / "meminfo"
    file.write_text(f"MemTotal: {megabytes * 1024} kB\n")
    script = f'mount --bind {shlex.quote(str(file))} /proc/meminfo || exit 77; exec "$@"'
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh"]
    found = subprocess.run([*command, "cat", "/proc/meminfo"], capture_output=True, text=True)
    return command if found.stdout == file.read_text() else None


def _status(pid: int, name: str) -> int:
    (kilobytes,) = re.findall(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(kilobytes) << 10
