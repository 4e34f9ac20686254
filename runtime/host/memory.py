"""The memory that this process may use, and its return to the operating system."""

from __future__ import annotations

import ctypes
import functools
import re
import sys
from pathlib import Path

from runtime.host.cgroups import cgroup_folders, read_setting

LIMIT_FILE = {1: "memory.limit_in_bytes", 2: "memory.max"}
"""The file with a cgroup's memory limit, by the kernel's cgroup version."""


def available_memory(root: Path = Path("/")) -> int:
    """Return the least of the machine's memory and the limits of this process's cgroup and its ancestors, in bytes.

    ``root`` is where /proc and /sys/fs/cgroup are found. If nothing states a limit, the result is a number that limits
    nothing.
    """
    # NOTE: "no limit" is the word max in version 2, and a number beyond any machine's memory in version 1.
    limits = [read_setting(folder / LIMIT_FILE[version]) for version, folder in cgroup_folders("memory", root)]
    total = re.search(r"^MemTotal:\s*(\d+) kB$", read_setting(root / "proc/meminfo"), re.MULTILINE)
    known = [int(limit) for limit in limits if limit.isdigit()] + ([int(total[1]) << 10] if total else [])
    return min(known, default=sys.maxsize)


def release_free_memory() -> None:
    """Return freed heap memory to the operating system, which glibc keeps by default. Takes milliseconds.

    Does nothing where the C library is another.
    """
    if trim := getattr(_c_library(), "malloc_trim", None):
        trim(0)


MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""glibc's numbers of the options."""


def map_large_blocks(least_bytes: int, kept_bytes: int) -> None:
    """Take each block of at least ``least_bytes`` from the operating system, and give it back when it is freed.

    glibc raises that size to the largest block that was freed, up to 32 MB. Smaller ones come from its heaps, and to
    clear one there means to write all of it: for a picture of 64 megapixels that takes 40 ms, for which Pillow holds
    the interpreter. Up to ``kept_bytes`` that are freed at the end of a heap stay there: once the size of large blocks
    is fixed, glibc keeps 128 KB, and what needs a little more gets new pages from the kernel again and again. Does
    nothing where the C library is another.
    """
    if mallopt := getattr(_c_library(), "mallopt", None):
        mallopt(MMAP_THRESHOLD, least_bytes)
        mallopt(TRIM_THRESHOLD, kept_bytes)


@functools.cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
