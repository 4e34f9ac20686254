"""The table of kinds: each has a module that the bundle's own kind selects."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from manifest import Kind
from runtime.kinds import KINDS, KindModule
from runtime.main import WORKER_MODULES


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_module_that_plans(kind: Kind):
    module = import_module(KINDS[kind])
    for function in ("plan", "needed_bytes"):
        wanted = list(inspect.signature(getattr(KindModule, function)).parameters)[1:]
        assert list(inspect.signature(getattr(module, function)).parameters) == wanted


COMPUTE = {"numpy", "onnxruntime", "tokenizers"}
SERVE = {"asyncio", "falcon", "httptools", "uvloop"}


@pytest.mark.parametrize("module", ["runtime.kinds", "runtime.server.server", *KINDS.values()])
def test_the_master_loads_no_library_that_computes_or_answers(module: str):
    code = f"import sys, runtime.main, {module}; print(*sorted({COMPUTE | SERVE!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.parametrize("module", KINDS.values())
def test_what_is_imported_before_workers_are_forked_starts_no_thread(module: str):
    names = (*WORKER_MODULES, *import_module(module).WORKER_MODULES)
    code = f"import os, {', '.join(names)}; print(len(os.listdir('/proc/self/task')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"
