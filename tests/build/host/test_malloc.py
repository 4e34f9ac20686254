"""Freed memory goes back to the operating system, in a process whose heap has holes."""

from __future__ import annotations

import subprocess
import sys

from tests.support.paths import ROOT

PROGRAM = """
import gc
import resource
from pathlib import Path
from build.host.malloc import release_free_memory

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

class Cycle:
    def __init__(self) -> None:
        self.itself = self
        self.blocks = [bytearray(4000) for _ in range(25_000)]
        # what is allocated last stays, so that the heap cannot shrink from its end
        kept.append(bytearray(4000))

gc.disable()
kept = []
Cycle()
before = resident()
release_free_memory()
print(before - resident())
"""


def test_the_heap_of_an_unreachable_cycle_is_returned():
    result = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(result.stdout) > 80_000_000


MADE_LATER = """
import gc
import weakref
from build.host.malloc import leave_imports_uncollected, release_free_memory

class Cycle:
    def __init__(self) -> None:
        self.itself = self

gc.disable()
earlier = weakref.ref(Cycle())
leave_imports_uncollected()
assert earlier() is None
print(len(gc.get_objects()))
later = weakref.ref(Cycle())
leave_imports_uncollected()
assert later() is not None
release_free_memory()
assert later() is None
"""


def test_collections_go_through_what_was_made_after_the_imports_alone():
    result = subprocess.run([sys.executable, "-c", MADE_LATER], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 100, "of the thousands that an interpreter makes"
