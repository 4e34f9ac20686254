"""The kernels under the sanitizers for addresses and undefined behavior, without onnxruntime and inside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from build import kernels
from build.kernels import Toolchain
from runtime.host.cpu import host_target
from tests.support.graphs.kernel_programs import SANITIZED, build_simulating_selftest, passes, simulated

pytestmark = pytest.mark.system


def test_sanitizers_find_nothing(tmp_path: Path):
    target = host_target()
    assert target is not None
    assert shutil.which("clang++"), "clang++ is missing: install clang"
    passes(build_simulating_selftest(target, SANITIZED, tmp_path), 100, *simulated())


IN_A_SANITIZED_LIBRARY = """
import sys
from pathlib import Path
import pytest
from build import kernels
kernels.LIBRARIES, kernels.is_current = Path(sys.argv[1]), lambda target: True
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-m", "not system", *sys.argv[2:]]))
"""
REFUSALS = [f"tests/kernels/test_errors.py::Test{op}" for op in ("Linear", "FeedForward", "Attention", "Embedding")]
REFUSALS.append("tests/kernels/test_encoder.py::TestRefusals")


def test_sanitizers_find_nothing_inside_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Covers what the ops read of a graph and of a run, whatever is wrong with it."""
    compiler = SANITIZED.compiler[0]
    assert shutil.which(compiler), f"{compiler} is missing: install clang"
    shared = Toolchain(SANITIZED.compiler, (*SANITIZED.flags, "-shared-libasan"))
    monkeypatch.setattr(kernels, "LIBRARIES", tmp_path)
    monkeypatch.setattr(kernels, "for_image", lambda target: shared)
    monkeypatch.setattr(kernels, "LINK", [flag for flag in kernels.LINK if flag not in ("-s", "-Wl,--no-undefined")])
    target = host_target()
    assert target is not None
    kernels.build(target)
    architecture = kernels.ARCHITECTURES[target].machine
    query = [compiler, f"-print-file-name=libclang_rt.asan-{architecture}.so"]
    sanitizer = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    result = subprocess.run(
        [sys.executable, "-c", IN_A_SANITIZED_LIBRARY, tmp_path, "tests/kernels/test_fuzz.py", *REFUSALS],
        cwd=kernels.ROOT,
        env={**os.environ, "LD_PRELOAD": sanitizer, "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
