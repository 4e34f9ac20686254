"""How much memory a container may use, and the return of freed memory."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.host.memory import available_memory, release_free_memory
from tests.support.machine_files import machine
from tests.support.paths import ROOT

MIB = 1 << 20
MEMINFO = "MemTotal:       16316428 kB\nMemFree:         1234567 kB\nMemAvailable:    2345678 kB\n"
MACHINE = 16316428 * 1024


def test_without_a_limit_it_is_the_machines_memory(tmp_path: Path):
    assert available_memory(machine(tmp_path, "0::/\n", {"memory.max": "max\n"}, MEMINFO)) == MACHINE


def test_this_machines_memory_is_found():
    assert 0 < available_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_a_limit_of_version_2(tmp_path: Path):
    assert available_memory(machine(tmp_path, "0::/\n", {"memory.max": f"{512 * MIB}\n"}, MEMINFO)) == 512 * MIB


def test_the_smallest_limit_of_all_levels_counts(tmp_path: Path):
    files = {"pod/memory.max": str(256 * MIB), "pod/box/memory.max": "max", "memory.max": str(900 * MIB)}
    assert available_memory(machine(tmp_path, "0::/pod/box\n", files, MEMINFO)) == 256 * MIB


def test_a_limit_above_the_machines_memory_is_none(tmp_path: Path):
    assert available_memory(machine(tmp_path, "0::/\n", {"memory.max": str(MACHINE * 2)}, MEMINFO)) == MACHINE


def test_a_limit_of_version_1(tmp_path: Path):
    files = {"memory/docker/1/memory.limit_in_bytes": str(300 * MIB), "memory/memory.limit_in_bytes": str(800 * MIB)}
    cgroup = "5:memory:/docker/1\n4:cpu,cpuacct:/docker/2\n1:name=systemd:/docker/1\n"
    assert available_memory(machine(tmp_path, cgroup, files, MEMINFO)) == 300 * MIB


def test_a_version_1_path_outside_the_mount_falls_back_to_the_mount(tmp_path: Path):
    files = {"memory/memory.limit_in_bytes": str(300 * MIB)}
    assert available_memory(machine(tmp_path, "4:memory:/docker/not-visible-here\n", files, MEMINFO)) == 300 * MIB


def test_the_largest_number_is_no_limit_in_version_1(tmp_path: Path):
    files = {"memory/memory.limit_in_bytes": "9223372036854771712"}
    assert available_memory(machine(tmp_path, "4:memory:/\n", files, MEMINFO)) == MACHINE


@pytest.mark.parametrize("text", ["", "maximum", "-1", "1e9"])
def test_a_limit_that_cannot_be_read_is_none(tmp_path: Path, text: str):
    assert available_memory(machine(tmp_path, "0::/\n", {"memory.max": text}, MEMINFO)) == MACHINE


def test_a_limit_counts_where_the_machines_memory_cannot_be_read(tmp_path: Path):
    root = machine(tmp_path, "0::/\n", {"memory.max": str(64 * MIB)})
    assert available_memory(root) == 64 * MIB


def test_where_nothing_can_be_read_nothing_limits(tmp_path: Path):
    assert available_memory(tmp_path) > 1 << 60


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no malloc_trim")
def test_freed_memory_returns_to_the_operating_system():
    """Blocks too small for a mapping of their own; the last one keeps the heap's end where it is."""
    blocks = [bytearray(32 << 10) for _ in range(2048)]
    for block in blocks:
        block[::4096] = b"x" * (len(block) // 4096)
    last = blocks.pop()
    blocks.clear()
    kept = resident_bytes()
    release_free_memory()
    assert resident_bytes() < kept - 32 * MIB
    assert last


LARGE_BLOCKS = """
import resource
import sys
import threading

import numpy as np

from runtime.host.memory import map_large_blocks

MIB = 1 << 20


def resident_bytes():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()


def allocate():
    np.ones(16 * MIB, np.uint8)
    before = resident_bytes()
    blocks = [np.zeros(16 * MIB, np.uint8) for _ in range(4)]
    print((resident_bytes() - before) // MIB)


if sys.argv[1] == "mapped":
    map_large_blocks(8 * MIB, 2 * MIB)
thread = threading.Thread(target=allocate)
thread.start()
thread.join()
"""


def written_by_clearing(mode: str) -> int:
    """MiB of four blocks of 16 MiB that are in memory once they are allocated."""
    result = subprocess.run(
        [sys.executable, "-c", LARGE_BLOCKS, mode], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(result.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_a_large_block_is_clear_without_being_written():
    assert written_by_clearing("mapped") < 2
    assert written_by_clearing("default") > 8, "the option is not needed any more"


FREED_BLOCKS = """
import ctypes
import resource
import sys
import threading

from runtime.host.memory import map_large_blocks

BLOCK = 1 << 20


def allocate():
    c = ctypes.CDLL(None)
    c.malloc.restype = ctypes.c_void_p
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        block = c.malloc(BLOCK)
        ctypes.memset(block, 1, BLOCK)
        c.free(ctypes.c_void_p(block))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


map_large_blocks(8 << 20, int(sys.argv[1]))
thread = threading.Thread(target=allocate)
thread.start()
thread.join()
"""


def faults_of_freed_blocks(kept_bytes: int) -> int:
    """Pages that the kernel maps for a block of 1 MiB that is allocated and freed 100 times."""
    result = subprocess.run(
        [sys.executable, "-c", FREED_BLOCKS, str(kept_bytes)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(result.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_what_is_freed_at_the_end_of_a_heap_stays_up_to_a_size():
    pages_of_block = (1 << 20) // resource.getpagesize()
    assert faults_of_freed_blocks(2 << 20) < 10 * pages_of_block
    assert faults_of_freed_blocks(128 << 10) > 50 * pages_of_block, "the option is not needed any more"
