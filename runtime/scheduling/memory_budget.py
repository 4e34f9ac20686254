"""Keeps runs within the memory that this process may use: finds it, sizes texts by it, lends it to runs."""

from __future__ import annotations

import ctypes
import re
import sys
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from manifest import WorkingMemory
from runtime.host.cgroups import cgroup_folders, read_setting

LIBC = ctypes.CDLL(None)

LIMIT_FILE = {1: "memory.limit_in_bytes", 2: "memory.max"}


def available_memory(root: Path = Path("/")) -> int:
    """Bytes: the least of the machine's memory and the limits of this process's cgroup and those above it.

    ``root`` is where /proc and /sys/fs/cgroup are found. Where nothing states a limit, a number that limits nothing.
    """
    # NOTE: «no limit» is the word max in version 2, and in version 1 a number beyond any machine's memory.
    limits = [read_setting(folder / LIMIT_FILE[version]) for version, folder in cgroup_folders("memory", root)]
    total = re.search(r"^MemTotal:\s*(\d+) kB$", read_setting(root / "proc/meminfo"), re.MULTILINE)
    known = [int(limit) for limit in limits if limit.isdigit()] + ([int(total[1]) << 10] if total else [])
    return min(known, default=sys.maxsize)


def affordable_tokens(memory: WorkingMemory, max_tokens: int, budget_bytes: int) -> int:
    """The longest run, of at most ``max_tokens``, whose working memory is within the budget; at least 1."""
    return max(1, bisect_right(range(1, max_tokens + 1), budget_bytes, key=memory.of))


def release_free_memory() -> None:
    """Hand what malloc holds free back to the system, where the C library can (glibc). Takes milliseconds."""
    if trim := getattr(LIBC, "malloc_trim", None):
        trim(0)


class MemoryBudget:
    """Lends memory to runs at the same time. First come, first served: small leases do not starve a large one."""

    def __init__(self, total_bytes: int) -> None:
        self._total = total_bytes
        # The condition guards the two below it.
        self._changed = threading.Condition()
        self._leased = 0
        self._waiters: deque[object] = deque()

    @contextmanager
    def lease(self, bytes: int) -> Iterator[None]:
        """Hold that much; waits for it. More than the total is lent too, alone.

        A thread that holds one lease must not ask for another: both would wait for the first.
        """
        self._acquire(bytes)
        try:
            yield
        finally:
            with self._changed:
                self._leased -= bytes
                self._changed.notify_all()

    def can_hold(self, bytes: int) -> bool:
        """Whether that much can be lent beside other leases, when enough of them have ended."""
        return bytes <= self._total

    def _acquire(self, bytes: int) -> None:
        with self._changed:
            if self._waiters or not self._fits(bytes):
                ticket = object()
                self._waiters.append(ticket)
                self._changed.wait_for(lambda: self._waiters[0] is ticket and self._fits(bytes))
                self._waiters.popleft()
                # The next in line may fit beside this one.
                self._changed.notify_all()
            self._leased += bytes

    def _fits(self, bytes: int) -> bool:
        return self._leased == 0 or self._leased + bytes <= self._total
