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
sys.argv = ["runtime", "--help"]
try:
    import runtime.__main__
except SystemExit:
    print(sum(generation["collections"] for generation in gc.get_stats()))
"""


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_garbage_is_searched_for_after_the_start_alone_and_among_what_is_newer():
    run(RULES)


def test_the_programs_own_modules_are_imported_without_a_search():
    nothing = run("import gc; print(sum(generation['collections'] for generation in gc.get_stats()))")
    assert run(IMPORTS).splitlines()[-1:] == nothing.splitlines()
