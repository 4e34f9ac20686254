"""The table of kinds: each has a module that the bundle's own kind selects."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from manifest import Kind
from runtime.kinds import KINDS, KindModule


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_module_that_plans(kind: Kind):
    module = import_module(KINDS[kind])
    wanted = list(inspect.signature(KindModule.plan).parameters)[1:]
    assert list(inspect.signature(module.plan).parameters) == wanted


@pytest.mark.parametrize("module", ["runtime.kinds", *KINDS.values()])
def test_the_master_loads_a_kind_without_the_libraries_that_compute(module: str):
    code = f"import sys, {module}; sys.exit(bool({{'numpy', 'onnxruntime', 'tokenizers'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
