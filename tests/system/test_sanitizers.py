"""The kernels under the sanitizers for addresses and undefined behavior, without onnxruntime and inside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from build import kernels
from runtime.host.cpu import host_target
from tests.support.graphs.kernel_programs import SANITIZED, passes, sanitized, simulated

pytestmark = pytest.mark.system


@pytest.fixture
def home() -> Path:
    """Where the self-test and the library are that were compiled with sanitizers."""
    compiler = SANITIZED.compiler[0]
    assert shutil.which(compiler), f"{compiler} is missing: install clang"
    target = host_target()
    assert target is not None
    return sanitized(target)


READS = """
#include <cstdio>
#include <cstdlib>
typedef char Vector __attribute__((vector_size(BYTES), aligned(1)));
int main(int, char** arguments) {
  char* const values = static_cast<char*>(calloc(BYTES, 1));
  const Vector read = *reinterpret_cast<const Vector*>(values + atoi(arguments[1]));
  for (int i = 0; i < BYTES; ++i) printf("%d", read[i]);
  free(values);
}
"""


@pytest.mark.parametrize("size", [1, 16, 32, 64])
def test_sanitizers_find_a_read_that_ends_one_byte_too_late(tmp_path: Path, size: int):
    """Else the tests below would prove nothing."""
    (tmp_path / "reads.cpp").write_text(READS)
    program = tmp_path / "reads"
    flags = [*SANITIZED.flags, f"-DBYTES={size}"]
    subprocess.run([*SANITIZED.compiler, *flags, tmp_path / "reads.cpp", "-o", program], check=True)
    passes(program, 0)
    result = subprocess.run([program, "1"], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "ERROR: AddressSanitizer" in result.stderr
    assert f"READ of size {size}" in result.stderr


def test_sanitizers_find_nothing(home: Path):
    passes(home / "selftest", 100, *simulated())


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


def test_sanitizers_find_nothing_inside_onnxruntime(home: Path):
    """Covers what the ops read of a graph and of a run, whatever is wrong with it."""
    target = host_target()
    assert target is not None
    architecture = kernels.ARCHITECTURES[target].machine
    query = [SANITIZED.compiler[0], f"-print-file-name=libclang_rt.asan-{architecture}.so"]
    sanitizer = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    result = subprocess.run(
        [sys.executable, "-c", IN_A_SANITIZED_LIBRARY, home, "tests/kernels/test_fuzz.py", *REFUSALS],
        cwd=kernels.ROOT,
        env={**os.environ, "LD_PRELOAD": sanitizer, "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
