"""Garbage is not searched for while a process starts, and again afterwards."""

from __future__ import annotations

import subprocess
import sys

RULES = """
import gc, weakref
from runtime.host.garbage import pause_collections, resume_collections

class Loop:
    def __init__(self):
        self.me = self

def searches():
    return sum(generation["collections"] for generation in gc.get_stats())

def make_objects():
    return [[] for _ in range(50 * gc.get_threshold()[0])]

pause_collections()
before = searches()
loaded = make_objects()
assert searches() == before, "garbage was searched for during the start"

resume_collections()
old = gc.get_freeze_count()
assert old > len(loaded), "what was loaded is looked at again and again"
lost = weakref.ref(Loop())
make_objects()
gc.collect()
assert lost() is None, "garbage is never found"
assert searches() > before + 1, "it is not searched for by itself"
"""

IMPORTS = """
import gc, sys

def searches():
    return sum(generation["collections"] for generation in gc.get_stats())

disable = gc.disable
paused_at = []

def noting_disable():
    disable()
    paused_at.append((searches(), "runtime.main" in sys.modules))

gc.disable = noting_disable
sys.argv = ["runtime", "--help"]
try:
    import runtime.__main__
except SystemExit:
    assert "runtime.main" in sys.modules
    assert paused_at == [(searches(), False)], "garbage was searched for during the imports"
else:
    raise AssertionError("it went on after --help")
"""


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)


def test_garbage_is_searched_for_after_the_start_alone_and_among_what_is_newer():
    run(RULES)


def test_the_programs_own_modules_are_imported_without_a_search():
    run(IMPORTS)
